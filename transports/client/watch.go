package client

import (
	"fmt"
	"time"

	"github.com/trivium-hub/trivium/transports/wire"
)

const (
	// leastSilence is the shortest that counts as silence, however often heartbeats come.
	leastSilence = time.Second
	// maxPatience is how often the silence that counts is doubled, when a stream fell silent.
	maxPatience = 3
	// pongTimeout is how long the hub may take to answer a ping.
	pongTimeout = 15 * time.Second
)

// watch finds a connection that is dead without having ended: nothing comes, not even heartbeats. It
// is part of loop. Time in which nothing is read, since the program takes nothing, does not count.
type watch struct {
	last      time.Time     // when something came, or reading went on
	heartbeat time.Duration // as of message
	beatAt    time.Time     // when the last heartbeat came; zero: none, or reading paused since
	learned   time.Duration // what counts as silence by two heartbeats seen; 0: none were
	patience  int           // doublings; the hub may be set to fewer heartbeats than was thought
	pinged    bool          // and nothing came since
}

func (w *watch) begin(now time.Time, heartbeat time.Duration) {
	w.last, w.heartbeat, w.beatAt, w.pinged = now, min(heartbeat, longest), time.Time{}, false
}

func (w *watch) heard(now time.Time) { w.last, w.pinged = now, false }

// resume is called when reading goes on.
func (w *watch) resume(now time.Time) {
	if now.Sub(w.last) > leastSilence {
		w.beatAt = time.Time{}
	}
	w.last = now
}

// beat is called for a heartbeat.
func (w *watch) beat(now time.Time, silence time.Duration) {
	if w.heartbeat > 0 {
		w.patience = 0
	} else if !w.beatAt.IsZero() {
		w.learned = min(beats(now.Sub(w.beatAt)), silence<<maxPatience)
		w.patience = 0
	}
	w.beatAt = now
}

// beats is what counts as silence where heartbeats come so often.
func beats(interval time.Duration) time.Duration { return max(leastSilence, interval*5/2) }

// limit is what counts as silence.
func (l *loop) limit() time.Duration {
	w := &l.watch
	switch {
	case l.transport == LongPoll: // an answer is what it hears
		return max(l.c.cfg.Silence, pollWait(l.c.cfg.Silence)*8/5)
	case w.pinged:
		return pongTimeout
	case w.heartbeat > 0:
		return beats(w.heartbeat) << w.patience
	case w.heartbeat == 0: // a ping will tell
		return l.c.cfg.Silence
	}
	return max(l.c.cfg.Silence, w.learned) << w.patience
}

// beat is how long a live connection is silent at most, as a rule.
func (l *loop) beat() time.Duration {
	if l.transport == LongPoll {
		return pollWait(l.c.cfg.Silence)
	}
	return l.limit() * 2 / 5
}

// quiet is for how long nothing has come, as far as it was listened for.
func (l *loop) quiet() time.Duration {
	if !l.reading() {
		return 0
	}
	last := l.watch.last
	if heard := l.conn.begun.Add(time.Duration(l.conn.heard.Load())); heard.After(last) {
		last = heard
	}
	return time.Since(last)
}

// look is called when the connection may have been silent for too long.
func (l *loop) look() {
	limit := l.limit()
	quiet := l.quiet()
	switch {
	case quiet < limit:
		l.alarm.Reset(limit - quiet)
	case l.watch.heartbeat == 0 && !l.watch.pinged:
		l.watch.pinged, l.watch.last = true, time.Now()
		l.alarm.Reset(pongTimeout)
		l.say(command{op: wire.OpPing})
	default:
		l.watch.patience = min(maxPatience, l.watch.patience+1)
		l.lose(fmt.Errorf("nothing has come for %v, not even a heartbeat", quiet.Round(time.Millisecond)))
	}
}
