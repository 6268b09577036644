package client

import (
	"errors"
	"time"
)

// receive takes a message of the connection.
func (l *loop) receive(m message) {
	l.watch.heard(time.Now())
	if l.phase != Live && m.kind > first {
		l.lose(errOrder)
		return
	}
	if l.phase == Live && m.kind == opened && l.transport != EventSource { // which comes back by itself
		l.lose(errTwice)
		return
	}
	switch m.kind {
	case opened:
		l.opened(m)
	case event:
		l.push(delivery{event: &m.event, id: m.id})
		if l.telling() && !l.reading() { // a connection of its own is sooner told of the change
			l.connect()
		}
	case position:
		if l.transport != LongPoll { // whose answers are no heartbeats
			l.watch.beat(time.Now(), l.c.cfg.Silence)
		}
		l.push(delivery{id: m.id})
	case problem:
		l.lose(m.problem)
	case goaway:
		l.lose(&goawayError{m.retry})
	case accepted:
		l.accepted(m.ref)
	case refused:
		l.refused(m.ref, m.problem)
	}
}

var errOrder = errors.New("the hub did not say first where the subscription begins")

var errTwice = errors.New("the stream has begun twice")

// push keeps what came for the program. A place that it has not been told of yet gives way.
func (l *loop) push(d delivery) {
	l.received = d.id
	if last := len(l.pending) - 1; last >= 0 && l.pending[last].event == nil {
		l.pending = l.pending[:last]
	}
	l.pending = append(l.pending, d)
	l.ahead += d.size()
}

// delivered is called when the program has taken what came first. While that took its time, nothing
// was read, so nothing was silent.
func (l *loop) delivered() {
	paused := !l.reading()
	l.ahead -= l.pending[0].size()
	l.pending[0] = delivery{}
	if l.pending = l.pending[1:]; len(l.pending) == 0 {
		l.pending = nil
	}
	if paused && l.reading() {
		l.watch.resume(time.Now())
	}
}

// opened is the hub's word that the subscription has begun.
func (l *loop) opened(m message) {
	if m.event.ID != "" {
		l.push(delivery{event: &m.event, id: m.id})
	} else {
		l.push(delivery{id: m.id})
	}
	now := time.Now()
	l.liveSince, l.retry = now, m.retry
	l.watch.begin(now, m.heartbeat)
	l.note()
	l.alarm.Reset(l.limit())
	l.enter(Live, l.reason())
	if l.change != nil {
		l.topics = l.change.topics
		l.settle(nil)
	}
	if l.choice == Auto {
		l.ladder.live()
	}
	l.freshen()
}

// note counts a connection.
func (l *loop) note() {
	stats := &l.c.stats
	stats.connects.Add(1)
	if l.connected {
		stats.reconnects.Add(1)
		if l.before != l.transport {
			stats.switches.Add(1)
		}
	}
	l.connected, l.before = true, l.transport
}
