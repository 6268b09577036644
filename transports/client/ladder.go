package client

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// rungs are what Auto tries, the best first.
var rungs = []Transport{WebSocket, SSE, LongPoll}

const (
	// maxQuick is how often in turn a connection may be lost right after it was live, before the
	// transport is taken for one that does not work here.
	maxQuick = 3
	// firstProbe and lastProbe bound the time between two looks at whether a better transport works.
	firstProbe = time.Minute
	lastProbe  = 30 * time.Minute
)

// ladder is what Auto knows of the transports. It is part of loop.
type ladder struct {
	rung    int
	reasons []error // why each of the rungs above did not do
	quick   int     // losses right after it was live, in turn

	timer *time.Timer    // until the next look, while it is live
	delay time.Duration  // before the next look
	due   time.Time      // when that is; zero: there was no connection to look beside
	found chan Transport // what the look under way finds, Auto for nothing; nil: none is
	stop  func()         // ends it
}

func newLadder() ladder {
	return ladder{timer: stoppedTimer(), delay: firstProbe, stop: func() {}}
}

// choose gives the transport to use.
func (a *ladder) choose(t Transport) Transport {
	if t == Auto {
		return rungs[a.rung]
	}
	return t
}

// last reports that there is nothing below.
func (a *ladder) last() bool { return a.rung == len(rungs)-1 }

// down steps down for the reason; ok is false if there is nothing below, and it is at the top again.
func (a *ladder) down(why error) (ok bool) {
	a.quick = 0
	if a.last() {
		a.rung, a.reasons, a.due = 0, nil, time.Time{}
		return false
	}
	a.reasons = append(a.reasons, fmt.Errorf("%v: %w", rungs[a.rung], why))
	a.rung++
	return true
}

// reason is why the rung is not the first; nil if it is.
func (a *ladder) reason() error {
	switch len(a.reasons) {
	case 0:
		return nil
	case 1:
		return a.reasons[0]
	}
	return fmt.Errorf("%w; %w", a.reasons[0], a.reasons[1])
}

// strike counts a loss right after it was live, and reports that there were too many.
func (a *ladder) strike() bool {
	a.quick++
	return a.quick >= maxQuick
}

// steady is called when a connection was live for a while.
func (a *ladder) steady() {
	a.quick = 0
	if a.rung == 0 {
		a.delay = firstProbe
	}
}

// live is called when a connection is live: now and then a better one is looked for, however often
// this one is lost meanwhile.
func (a *ladder) live() {
	if a.rung == 0 {
		return
	}
	if a.due.IsZero() {
		a.due = time.Now().Add(a.delay)
	}
	a.timer.Reset(max(0, time.Until(a.due)))
}

// rest ends the looking.
func (a *ladder) rest() {
	a.timer.Stop()
	a.stop()
	a.found = nil
}

// reset forgets what is known, as it may be of another network, or of another choice.
func (a *ladder) reset() {
	a.rest()
	a.rung, a.reasons, a.quick, a.delay, a.due = 0, nil, 0, firstProbe, time.Time{}
}

// probe looks whether a better transport works, beside the one that is live.
func (l *loop) probe() {
	ctx, cancel := context.WithCancel(l.c.ctx)
	better, a := rungs[:l.ladder.rung], l.ask(l.wanted())
	found := make(chan Transport, 1)
	l.ladder.found, l.ladder.stop = found, cancel
	l.c.workers.Go(func() {
		defer cancel()
		i := slices.IndexFunc(better, func(t Transport) bool { return l.c.opens(ctx, t, a) })
		if i < 0 {
			found <- Auto
			return
		}
		found <- better[i]
	})
}

// opens reports that a connection by the transport comes to be live. Nothing else of it is read.
func (c *Client) opens(ctx context.Context, t Transport, a ask) bool {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.OpenTimeout)
	defer cancel()
	n := c.connect(ctx, t, a)
	defer n.stop()
	select {
	case m, ok := <-n.messages:
		return ok && m.kind == opened
	case <-ctx.Done():
		return false
	}
}

// probed steps up to the transport that was found, if one was.
func (l *loop) probed(better Transport) {
	a := &l.ladder
	a.rest()
	a.delay, a.due = min(2*a.delay, lastProbe), time.Time{}
	if better == Auto {
		a.live()
		return
	}
	a.rung, a.quick = slices.Index(rungs, better), 0
	a.reasons = a.reasons[:a.rung]
	l.connect()
}
