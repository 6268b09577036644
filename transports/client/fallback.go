package client

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// fallbackOrder lists the transports that Auto tries, best first.
var fallbackOrder = []Transport{WebSocket, SSE, LongPoll}

const (
	// maxQuickLosses is how many consecutive connections may be lost soon after becoming Live before the
	// transport counts as unusable here.
	maxQuickLosses = 3
	// firstProbe and lastProbe bound the time between two probes for a better transport.
	firstProbe = time.Minute
	lastProbe  = 30 * time.Minute
)

// fallbackList is the state of Auto: the current step of fallbackOrder and the probes for a better one. Owned by
// loop.
type fallbackList struct {
	step        int     // index in fallbackOrder
	reasons     []error // why each better transport failed
	quickLosses int     // consecutive losses soon after Live

	probeTimer  *time.Timer    // fires at the next probe; runs only while Live
	probeDelay  time.Duration  // before the next probe
	probeAt     time.Time      // time of the next probe; zero if none is scheduled
	probeResult chan Transport // receives the result of the running probe, Auto if none worked; nil if no probe runs
	cancelProbe func()
}

func newFallbackList() fallbackList {
	return fallbackList{probeTimer: stoppedTimer(), probeDelay: firstProbe, cancelProbe: func() {}}
}

// transportFor returns the transport to use for the selected one.
func (a *fallbackList) transportFor(t Transport) Transport {
	if t == Auto {
		return fallbackOrder[a.step]
	}
	return t
}

// atLastStep reports whether there is no further fallback.
func (a *fallbackList) atLastStep() bool { return a.step == len(fallbackOrder)-1 }

// stepDown moves to the next transport. After the last one it starts over with the best and returns false.
func (a *fallbackList) stepDown(why error) (ok bool) {
	a.quickLosses = 0
	if a.atLastStep() {
		a.step, a.reasons, a.probeAt = 0, nil, time.Time{}
		return false
	}
	a.reasons = append(a.reasons, fmt.Errorf("%v: %w", fallbackOrder[a.step], why))
	a.step++
	return true
}

// reason returns why the best transport is not in use, or nil if it is.
func (a *fallbackList) reason() error {
	switch len(a.reasons) {
	case 0:
		return nil
	case 1:
		return a.reasons[0]
	}
	return fmt.Errorf("%w; %w", a.reasons[0], a.reasons[1])
}

// countQuickLoss counts a loss soon after Live and reports whether the limit is reached.
func (a *fallbackList) countQuickLoss() bool {
	a.quickLosses++
	return a.quickLosses >= maxQuickLosses
}

// connectionWasStable resets the loss counter.
func (a *fallbackList) connectionWasStable() {
	a.quickLosses = 0
	if a.step == 0 {
		a.probeDelay = firstProbe
	}
}

// scheduleProbe is called when a connection becomes Live. The time of the next probe stays the same across
// reconnects.
func (a *fallbackList) scheduleProbe() {
	if a.step == 0 {
		return
	}
	if a.probeAt.IsZero() {
		a.probeAt = time.Now().Add(a.probeDelay)
	}
	a.probeTimer.Reset(max(0, time.Until(a.probeAt)))
}

// stopProbing cancels the timer and the running probe.
func (a *fallbackList) stopProbing() {
	a.probeTimer.Stop()
	a.cancelProbe()
	a.probeResult = nil
}

// reset forgets all results, because the network or the selected transport has changed.
func (a *fallbackList) reset() {
	a.stopProbing()
	a.step, a.reasons, a.quickLosses, a.probeDelay, a.probeAt = 0, nil, 0, firstProbe, time.Time{}
}

// startProbe tries the better transports while the current connection stays.
func (l *loop) startProbe() {
	ctx, cancel := context.WithCancel(l.c.ctx)
	better, a := fallbackOrder[:l.fallback.step], l.subscribeParams(l.wantedTopics())
	found := make(chan Transport, 1)
	l.fallback.probeResult, l.fallback.cancelProbe = found, cancel
	l.c.workers.Go(func() {
		defer cancel()
		i := slices.IndexFunc(better, func(t Transport) bool { return l.c.canOpen(ctx, t, a) })
		if i < 0 {
			found <- Auto
			return
		}
		found <- better[i]
	})
}

// canOpen reports whether a connection over t becomes live. It is closed right after.
func (c *Client) canOpen(ctx context.Context, t Transport, a subscribeParams) bool {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.OpenTimeout)
	defer cancel()
	n := c.connect(ctx, t, a)
	defer n.stop()
	select {
	case m, ok := <-n.messages:
		return ok && m.kind == kindOpened
	case <-ctx.Done():
		return false
	}
}

// onProbeResult switches to the better transport, or schedules the next probe if none was found.
func (l *loop) onProbeResult(better Transport) {
	a := &l.fallback
	a.stopProbing()
	a.probeDelay, a.probeAt = min(2*a.probeDelay, lastProbe), time.Time{}
	if better == Auto {
		a.scheduleProbe()
		return
	}
	a.step, a.quickLosses = slices.Index(fallbackOrder, better), 0
	a.reasons = a.reasons[:a.step]
	l.connect()
}
