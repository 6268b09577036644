package bench

import (
	"math"
	"time"
)

const (
	// rehearsal is the number of connections that are opened, receive events and are closed before the
	// measurement. During this time the hub allocates the memory that does not depend on the number of
	// connections, so that this memory is not counted as memory of the measured connections.
	rehearsal       = 200
	rehearsalEvents = 20
	// settleFor is the maximum time to wait until the memory no longer changes.
	settleFor   = 10 * time.Second
	settleLook  = 250 * time.Millisecond
	idleTraffic = 30 // number of events that each idle connection receives
)

// idle measures the hub's memory and CPU time while its connections receive no events. It measures the memory again
// after the connections have received some events.
func (r *runner) idle(s spec) (*Result, error) {
	d, err := r.secureSide(s)
	if err != nil {
		return nil, err
	}
	defer d.close()
	result := s.result()
	if err := d.rehearse(s); err != nil {
		return nil, err
	}
	look := min(settleLook, s.duration/4) // shorter if the whole measurement is short
	before, err := d.settledPSS(look)
	if err != nil {
		return nil, err
	}
	if err := d.open("the hub", s.transport, s.subscribers); err != nil {
		return nil, err
	}
	connected, err := d.settledPSS(look)
	if err != nil {
		return nil, err
	}
	rest, err := d.listen(s.duration)
	if err != nil {
		return nil, err
	}
	d.source.fan = int64(s.subscribers)
	if err := d.published(s.rate, idleTraffic); err != nil {
		return nil, err
	}
	used, err := d.settledPSS(look)
	if err != nil {
		return nil, err
	}
	r.progress.step()
	n := float64(s.subscribers)
	result.Memory = &Memory{
		Before:       before,
		Connected:    float64(connected-before) / n,
		AfterTraffic: float64(used-before) / n,
		RestCPU:      rest.cpu.Seconds() / rest.wall.Seconds(),
	}
	d.closeSubscribers()
	result.Tally, result.Gaps = d.tally, d.gaps
	return result, nil
}

// rehearse opens some connections, lets them receive events, and closes them.
func (d *side) rehearse(s spec) error {
	n := min(rehearsal, s.subscribers)
	d.source.fan = int64(n)
	if err := d.open("the hub", s.transport, n); err != nil {
		return err
	}
	if err := d.published(100, rehearsalEvents); err != nil {
		return err
	}
	d.closeSubscribers()
	for range 2 { // twice, because the hub notices a closed connection only by its first write
		if err := d.flush(); err != nil {
			return err
		}
	}
	return nil
}

// settledPSS waits until the hub's runtime has returned free memory to the system, and returns the memory in
// use. The parameter look is the time between two samples.
func (d *side) settledPSS(look time.Duration) (int64, error) {
	return settled(d.server.pss, func() error { return d.r.load.pumpFor(look) })
}

// settled samples the memory until three consecutive samples differ by less than half a percent, or until the time
// settleFor has passed, and returns the last sample. It calls pause before each sample.
func settled(pss func() (int64, error), pause func() error) (int64, error) {
	var last [2]int64
	for end := time.Now().Add(settleFor); ; {
		if err := pause(); err != nil {
			return 0, err
		}
		now, err := pss()
		if err != nil {
			return 0, err
		}
		near := func(a int64) bool { return math.Abs(float64(a-now)) < float64(now)/200 }
		if near(last[0]) && near(last[1]) || time.Now().After(end) {
			return now, nil
		}
		last[0], last[1] = last[1], now
	}
}
