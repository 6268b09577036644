package client

import (
	"errors"
	"time"
)

// receive handles a message of the connection.
func (l *loop) receive(m message) {
	l.liveness.received(time.Now())
	if l.phase != Live && m.kind > firstLiveKind {
		l.connectionLost(errNotOpened)
		return
	}
	// An EventSource may reconnect without reporting that its connection was lost.
	if l.phase == Live && m.kind == kindOpened && l.transport != EventSource {
		l.connectionLost(errOpenedTwice)
		return
	}
	switch m.kind {
	case kindOpened:
		l.onOpened(m)
	case kindEvent:
		l.enqueue(delivery{event: &m.event, id: m.id})
		if l.commandPending() && !l.canRead() {
			l.connect() // too many events precede the hub's answer; a new connection applies the change
		}
	case kindPosition:
		if l.transport != LongPoll { // answers to polls are not heartbeats
			l.liveness.heartbeatReceived(time.Now(), l.c.cfg.Silence)
		}
		l.enqueue(delivery{id: m.id})
	case kindProblem:
		l.connectionLost(m.problem)
	case kindGoaway:
		l.connectionLost(&goawayError{m.retry})
	case kindAccepted:
		l.onAccepted(m.ref)
	case kindRefused:
		l.onRefused(m.ref, m.problem)
	}
}

var errNotOpened = errors.New("the stream did not begin with an opening message that contains its cursor")

var errOpenedTwice = errors.New("the stream sent its opening message twice")

// enqueue appends to pending. If the last element is a position that was not delivered yet, enqueue
// replaces it.
func (l *loop) enqueue(d delivery) {
	l.received = d.id
	if last := len(l.pending) - 1; last >= 0 && l.pending[last].event == nil {
		l.pending = l.pending[:last]
	}
	l.pending = append(l.pending, d)
	l.pendingBytes += d.size()
}

// onDelivered removes the first pending delivery. If reading was paused until now, the pause is not
// counted as silence.
func (l *loop) onDelivered() {
	paused := !l.canRead()
	l.pendingBytes -= l.pending[0].size()
	l.pending[0] = delivery{}
	if l.pending = l.pending[1:]; len(l.pending) == 0 {
		l.pending = nil
	}
	if paused && l.canRead() {
		l.liveness.resume(time.Now())
	}
}

// onOpened handles the hub's confirmation of the subscription.
func (l *loop) onOpened(m message) {
	if m.event.ID != "" {
		l.enqueue(delivery{event: &m.event, id: m.id})
	} else {
		l.enqueue(delivery{id: m.id})
	}
	now := time.Now()
	l.liveSince, l.retryHint = now, m.retry
	l.liveness.start(now, m.heartbeat)
	l.countConnect()
	l.phaseTimer.Reset(l.silenceLimit())
	l.setPhase(Live, l.fallbackReason())
	if l.change != nil {
		l.topics = l.change.topics
		l.finishChange(nil)
	}
	if l.selected == Auto {
		l.fallback.scheduleProbe()
	}
	l.applyToken()
}

// countConnect updates the counters when a connection has become Live.
func (l *loop) countConnect() {
	stats := &l.c.stats
	stats.connects.Add(1)
	if l.hasBeenLive {
		stats.reconnects.Add(1)
		if l.lastTransport != l.transport {
			stats.switches.Add(1)
		}
	}
	l.hasBeenLive, l.lastTransport = true, l.transport
}
