package bench

import (
	"errors"
	"time"
)

// resume connects all subscribers at once, with a cursor that is a few seconds old. The constant handshakes
// limits how many connections are opened concurrently. Meanwhile, events are published, and other
// subscribers stay connected; their number is a tenth of the number of resuming subscribers.
func (r *runner) resume(s spec) (*Result, error) {
	d, err := r.hubSide(s, true)
	if err != nil {
		return nil, err
	}
	defer d.close()
	stayers := max(1, s.subscribers/10)
	d.source.fan = int64(stayers)
	if err := d.open("the hub", s.transport, stayers); err != nil {
		return nil, err
	}
	result := s.result()
	err = d.beside(s.rate, 0, make(chan error, 1), func() error { return d.measureResume(s, result) })
	if err != nil {
		return nil, err
	}
	if err := d.linger(); err != nil {
		return nil, err
	}
	r.progress.step()
	d.closeSubscribers()
	result.Tally.add(d.tally)
	result.Gaps += d.gaps
	return result, nil
}

// measureResume connects the resuming subscribers, and measures deliveries before they connect, while they
// catch up, and after that. Another goroutine publishes events all the time.
func (d *side) measureResume(s spec, result *Result) error {
	l := d.r.load
	if known, err := l.pump(patience, func() bool { return len(d.group.lastID) > 0 }); err != nil || !known {
		return cmpError(err, errors.New("no event arrived"))
	}
	cursor, next := string(d.group.lastID), d.group.lastSeq+1
	before, err := d.listen(s.duration)
	if err != nil {
		return err
	}
	p, err := d.plan(s.transport, s.subscribers)
	if err != nil {
		return err
	}
	p.cursor, p.next = cursor, func(int) uint32 { return next }
	var back *group
	meanwhile, err := d.round(func() (err error) {
		if back, err = l.connect("the resuming subscribers", p); err != nil {
			return err
		}
		return back.catchUp(d.out(), next)
	})
	if back != nil {
		defer back.close()
	}
	if err != nil {
		return err
	}
	meanwhile.deliveries += back.advanced
	head := d.out()
	after, err := d.listen(s.duration) // these events are delivered to the resumed subscribers as well
	if err != nil {
		return err
	}
	back.countLost(func(uint32) uint32 { return head })
	rounds := []*round{meanwhile}
	result.Hub, result.LoadCPU, result.CaughtUpSeconds = figures(rounds), loadShare(rounds), meanwhile.wall.Seconds()
	if p99 := before.micros(99); p99 > 0 {
		result.P99Ratio = meanwhile.micros(99) / p99
	}
	result.note("p99 of the subscribers that stayed connected was %s before the others resumed, and %s with all connected; the CPU time includes the handshakes",
		micros(before.micros(99)), micros(after.micros(99)))
	result.Tally.add(back.tally)
	result.Gaps += back.gaps
	return nil
}

// listen measures, for the given time, the delivery of events that another goroutine publishes.
func (d *side) listen(length time.Duration) (*round, error) {
	return d.round(func() error { return d.r.load.pumpFor(length) })
}

// out returns the number of events of the shared stream that have been published or are about to be
// published. It may be called while the source runs.
func (d *side) out() uint32 { return uint32(d.source.expected.Load() / d.source.fan) }

// catchUp waits until all subscribers of the group have received the events in the range [from, head).
// Events that do not arrive count as lost.
func (g *group) catchUp(head, from uint32) error {
	done, err := g.load.pump(patience, func() bool { return g.reached(head, from) })
	if err == nil && !done {
		g.countLost(func(uint32) uint32 { return head })
	}
	return err
}

// reached reports whether all subscribers of the group have received the events in the range
// [from, head). The parameter from is the number of the first event that they expect.
func (g *group) reached(head, from uint32) bool {
	if g.advanced < int64(len(g.conns))*int64(head-from) {
		return false // this cheap check usually suffices
	}
	for _, c := range g.conns {
		if c.check.next < head {
			return false
		}
	}
	return true
}
