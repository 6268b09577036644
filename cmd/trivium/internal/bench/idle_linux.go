package bench

import (
	"math"
	"time"
)

const (
	// rehearsal is how many connections come, get events and go before memory is looked at, so that
	// what a hub needs once is not counted as theirs.
	rehearsal       = 200
	rehearsalEvents = 20
	// settleFor bounds the wait for memory to come to rest.
	settleFor   = 10 * time.Second
	settleLook  = 250 * time.Millisecond
	idleTraffic = 30 // events that each idle connection gets
)

// idle measures the memory and CPU of connections that receive nothing, before and after they once received
// events.
func (r *runner) idle(s spec) (*Result, error) {
	server, err := r.hub()
	if err != nil {
		return nil, err
	}
	d, err := r.side(s, server, true)
	defer d.close()
	if err != nil {
		return nil, err
	}
	result := s.result()
	if err := d.rehearse(s); err != nil {
		return nil, err
	}
	before, err := d.settledPSS()
	if err != nil {
		return nil, err
	}
	if err := d.open("the hub", s.transport, s.subscribers); err != nil {
		return nil, err
	}
	connected, err := d.settledPSS()
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
	used, err := d.settledPSS()
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

// rehearse opens and closes some connections.
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
	for range 2 { // the first write finds it out, and is one of the hub's tries
		if err := d.flush(); err != nil {
			return err
		}
	}
	return nil
}

// settledPSS waits until the runtime returns no more memory to the system: three samples, settleLook apart, that
// differ by less than half a percent.
func (d *side) settledPSS() (int64, error) {
	var last [2]int64
	for end := time.Now().Add(settleFor); ; {
		if err := d.r.load.pumpFor(settleLook); err != nil {
			return 0, err
		}
		now, err := d.server.pss()
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
