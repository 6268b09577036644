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
	// maxQuickLosses limits the consecutive connections that are lost soon after they became Live.
	// When the limit is reached, Auto considers the transport unusable.
	maxQuickLosses = 3
	// firstProbe and lastProbe are the shortest and the longest interval between two probes for a
	// better transport.
	firstProbe = time.Minute
	lastProbe  = 30 * time.Minute
)

// fallbackList is the state of the transport Auto: the current step in fallbackOrder, and the
// probes for a better transport. Only the goroutine run accesses it.
type fallbackList struct {
	step        int     // index in fallbackOrder
	reasons     []error // the reason why each better transport failed
	quickLosses int     // number of consecutive connections that were lost soon after they became Live

	probeTimer  *time.Timer    // fires at the next probe; runs only while Live
	probeDelay  time.Duration  // delay before the next probe
	probeAt     time.Time      // time of the next probe; zero if none is scheduled
	probeResult chan Transport // receives the better transport, or Auto if none worked; nil: no probe runs
	cancelProbe func()
}

func newFallbackList() fallbackList {
	return fallbackList{probeTimer: stoppedTimer(), probeDelay: firstProbe, cancelProbe: func() {}}
}

// transportFor returns the transport to use when t is selected.
func (a *fallbackList) transportFor(t Transport) Transport {
	if t == Auto {
		return fallbackOrder[a.step]
	}
	return t
}

// atLastStep reports whether the current transport is the last one in fallbackOrder.
func (a *fallbackList) atLastStep() bool { return a.step == len(fallbackOrder)-1 }

// stepDown moves to the next transport. After the last one, it starts again with the best one and
// returns false.
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

// reason returns the reason why the best transport is not in use, or nil if it is.
func (a *fallbackList) reason() error {
	switch len(a.reasons) {
	case 0:
		return nil
	case 1:
		return a.reasons[0]
	}
	return fmt.Errorf("%w; %w", a.reasons[0], a.reasons[1])
}

// countQuickLoss counts a connection that was lost soon after it became Live, and reports whether
// maxQuickLosses is reached.
func (a *fallbackList) countQuickLoss() bool {
	a.quickLosses++
	return a.quickLosses >= maxQuickLosses
}

// connectionWasStable resets the count of quick losses. If the best transport is in use, it also resets
// the delay before the next probe.
func (a *fallbackList) connectionWasStable() {
	a.quickLosses = 0
	if a.step == 0 {
		a.probeDelay = firstProbe
	}
}

// scheduleProbe schedules a probe when a connection becomes Live. A reconnect does not change the
// time of the next probe.
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

// reset makes Auto start again with the best transport, because the network or the selected transport has
// changed. It forgets which transports have failed.
func (a *fallbackList) reset() {
	a.stopProbing()
	a.step, a.reasons, a.quickLosses, a.probeDelay, a.probeAt = 0, nil, 0, firstProbe, time.Time{}
}

// startProbe tries the better transports. The current connection stays in use during the probe.
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

// canOpen reports whether a connection over t becomes live. It closes that connection.
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
