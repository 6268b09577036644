package bench

import (
	"errors"
	"time"
)

// resume has all subscribers come back at once with a cursor a few seconds old, while a tenth as
// many others are there and events go on. They are admitted handshakes at a time.
func (r *runner) resume(s spec) (*Result, error) {
	server, err := r.hub()
	if err != nil {
		return nil, err
	}
	d, err := r.side(s, server, true)
	defer d.close()
	if err != nil {
		return nil, err
	}
	stayers := max(1, s.subscribers/10)
	d.source.fan = int64(stayers)
	if err := d.open("the hub", s.transport, stayers); err != nil {
		return nil, err
	}
	result := s.result()
	err = d.beside(s.rate, 0, make(chan error, 1), func() error { return d.comeBack(s, result) })
	if err != nil {
		return nil, err
	}
	if err := d.linger(); err != nil {
		return nil, err
	}
	r.progress.step()
	d.shut()
	result.Tally.add(d.tally)
	result.Gaps += d.gaps
	return result, nil
}

// comeBack runs while events go on.
func (d *side) comeBack(s spec, result *Result) error {
	l := d.r.load
	if known, err := l.pump(patience, func() bool { return len(d.group.lastID) > 0 }); err != nil || !known {
		return cmpError(err, errors.New("no event has come"))
	}
	cursor, next := string(d.group.lastID), d.group.lastSeq+1
	steady := newLatency()
	d.group.latency = steady
	if err := l.rest(s.duration); err != nil {
		return err
	}
	p, err := d.plan(s.transport, s.subscribers)
	if err != nil {
		return err
	}
	p.cursor, p.next = cursor, func(int) uint32 { return next }
	meanwhile := &round{latency: newLatency()}
	d.group.latency = meanwhile.latency
	cpu, err := d.cpu()
	if err != nil {
		return err
	}
	load, start := ownCPU(), time.Now()
	back, err := l.connect("those who come back", p)
	defer back.close()
	if err != nil {
		return err
	}
	head := uint32(d.source.expected.Load() / d.source.fan)
	done, err := l.pump(patience, func() bool { return back.reached(head, next) })
	if err != nil {
		return err
	}
	if !done {
		back.settle(func(uint32) uint32 { return head })
	}
	after, err := d.cpu()
	if err != nil {
		return err
	}
	meanwhile.wall, meanwhile.load, meanwhile.cpu = time.Since(start), ownCPU()-load, after-cpu
	meanwhile.deliveries = back.advanced
	d.group.latency = nil
	result.CaughtUpSeconds = meanwhile.wall.Seconds()
	result.Hub = figures([]*round{meanwhile})
	result.LoadCPU = loadShare([]*round{meanwhile})
	if p99 := steady.ValueAtPercentile(99); p99 > 0 {
		result.P99Ratio = float64(meanwhile.latency.ValueAtPercentile(99)) / float64(p99)
	}
	settled := newLatency()
	d.group.latency = settled
	if err := l.rest(s.duration); err != nil { // there they get what goes on as well
		return err
	}
	d.group.latency = nil
	result.note("p99 of those already there was %s before and %s after, with all there; CPU is with the handshakes",
		micros(float64(steady.ValueAtPercentile(99))/1000), micros(float64(settled.ValueAtPercentile(99))/1000))
	result.Tally.add(back.tally)
	result.Gaps += back.gaps
	return nil
}

// reached reports whether all of the group have come so far.
func (g *group) reached(head, from uint32) bool {
	if g.advanced < int64(len(g.conns))*int64(head-from) {
		return false // cheap, and mostly so
	}
	for _, c := range g.conns {
		if c.check.next < head {
			return false
		}
	}
	return true
}
