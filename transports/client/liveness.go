package client

import (
	"fmt"
	"time"

	"github.com/trivium-hub/trivium/transports/internal/wire"
)

const (
	// minSilenceLimit is the lower bound of the silence limit. It applies if heartbeats are very
	// frequent.
	minSilenceLimit = time.Second
	// maxDoublings is the number of times that the silence limit can double, once after each
	// connection that fell silent.
	maxDoublings = 3
	// pongTimeout is the time within which the hub must answer a ping.
	pongTimeout = 15 * time.Second
)

// liveness detects dead connections that were not closed. A connection is considered dead if nothing
// arrives on it, not even heartbeats. The time during which the client does not read is not counted as
// silence. Only the goroutine run accesses liveness.
type liveness struct {
	lastReceived  time.Time     // time of the last message, or time at which reading continued
	heartbeat     time.Duration // the announced interval; 0: the hub sends none; heartbeatUnknown: not announced
	lastHeartbeat time.Time     // zero: no heartbeat arrived, or reading was paused after it
	learnedLimit  time.Duration // silence limit derived from the time between two heartbeats; 0: not measured yet
	doublings     int           // how often the limit was doubled, in case heartbeats are rarer than assumed
	pingSent      bool          // a ping was sent, and no message has arrived since then
}

func (w *liveness) start(now time.Time, heartbeat time.Duration) {
	w.lastReceived, w.heartbeat, w.lastHeartbeat, w.pingSent = now, min(heartbeat, maxDuration), time.Time{}, false
}

func (w *liveness) received(now time.Time) { w.lastReceived, w.pingSent = now, false }

// resume records that reading continues after a pause.
func (w *liveness) resume(now time.Time) {
	if now.Sub(w.lastReceived) > minSilenceLimit {
		w.lastHeartbeat = time.Time{}
	}
	w.lastReceived = now
}

// heartbeatReceived measures the heartbeat interval if the hub did not announce it.
func (w *liveness) heartbeatReceived(now time.Time, silence time.Duration) {
	if w.heartbeat > 0 {
		w.doublings = 0
	} else if !w.lastHeartbeat.IsZero() {
		w.learnedLimit = min(silenceLimitFor(now.Sub(w.lastHeartbeat)), silence<<maxDoublings)
		w.doublings = 0
	}
	w.lastHeartbeat = now
}

// silenceLimitFor returns the silence limit for a heartbeat interval.
func silenceLimitFor(interval time.Duration) time.Duration { return max(minSilenceLimit, interval*5/2) }

// silenceLimit returns the time after which a silent connection is considered dead.
func (l *loop) silenceLimit() time.Duration {
	w := &l.liveness
	switch {
	case l.transport == LongPoll: // each poll must be answered
		return max(l.c.cfg.Silence, pollWait(l.c.cfg.Silence)*8/5)
	case w.pingSent:
		return pongTimeout
	case w.heartbeat > 0:
		return silenceLimitFor(w.heartbeat) << w.doublings
	case w.heartbeat == 0: // the hub sends no heartbeats, so the client sends a ping
		return l.c.cfg.Silence
	}
	return max(l.c.cfg.Silence, w.learnedLimit) << w.doublings
}

// expectedInterval returns the usual time between two messages on a live connection.
func (l *loop) expectedInterval() time.Duration {
	if l.transport == LongPoll {
		return pollWait(l.c.cfg.Silence)
	}
	return l.silenceLimit() * 2 / 5
}

// silence returns the time since something arrived, not counting the time during which the client
// did not read.
func (l *loop) silence() time.Duration {
	if !l.canRead() {
		return 0
	}
	last := l.liveness.lastReceived
	if heard := l.conn.startedAt.Add(time.Duration(l.conn.lastRead.Load())); heard.After(last) {
		last = heard
	}
	return time.Since(last)
}

// checkLiveness sets the timer again, sends a ping, or ends the connection, depending on the
// duration of silence.
func (l *loop) checkLiveness() {
	limit := l.silenceLimit()
	quiet := l.silence()
	switch {
	case quiet < limit:
		l.phaseTimer.Reset(limit - quiet)
	case l.liveness.heartbeat == 0 && !l.liveness.pingSent:
		l.liveness.pingSent, l.liveness.lastReceived = true, time.Now()
		l.phaseTimer.Reset(pongTimeout)
		l.sendCommand(command{op: wire.OpPing})
	default:
		l.liveness.doublings = min(maxDoublings, l.liveness.doublings+1)
		l.connectionLost(fmt.Errorf("no data for %v, not even a heartbeat", quiet.Round(time.Millisecond)))
	}
}
