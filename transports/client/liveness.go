package client

import (
	"fmt"
	"time"

	"github.com/trivium-hub/trivium/transports/internal/wire"
)

const (
	// minSilenceLimit is a lower bound of the silence limit, for very frequent heartbeats.
	minSilenceLimit = time.Second
	// maxDoublings is how many times the silence limit doubles after connections that fell silent.
	maxDoublings = 3
	// pongTimeout is how long the hub may take to answer a ping.
	pongTimeout = 15 * time.Second
)

// liveness detects a connection that is dead but not closed: it receives nothing, not even heartbeats. Owned by
// loop. Time during which reading is paused does not count as silence.
type liveness struct {
	lastReceived  time.Time     // last message, or when reading continued
	heartbeat     time.Duration // the announced interval; 0 means none, heartbeatUnknown means not announced
	lastHeartbeat time.Time     // zero: none, or reading was paused since
	learnedLimit  time.Duration // silence limit measured from two heartbeats; 0 before
	doublings     int           // of the limit; the hub may send fewer heartbeats than assumed
	pingSent      bool          // and no message since
}

func (w *liveness) start(now time.Time, heartbeat time.Duration) {
	w.lastReceived, w.heartbeat, w.lastHeartbeat, w.pingSent = now, min(heartbeat, maxDuration), time.Time{}, false
}

func (w *liveness) received(now time.Time) { w.lastReceived, w.pingSent = now, false }

// resume is called when reading continues after a pause.
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

// silenceLimit returns how long the connection may be silent.
func (l *loop) silenceLimit() time.Duration {
	w := &l.liveness
	switch {
	case l.transport == LongPoll: // one answer per poll is expected
		return max(l.c.cfg.Silence, pollWait(l.c.cfg.Silence)*8/5)
	case w.pingSent:
		return pongTimeout
	case w.heartbeat > 0:
		return silenceLimitFor(w.heartbeat) << w.doublings
	case w.heartbeat == 0: // no heartbeats: a ping follows
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

// silence returns for how long nothing has arrived while reading.
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

// checkLiveness re-arms the timer, sends a ping, or gives up the connection, depending on its silence.
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
