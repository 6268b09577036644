package bench

import (
	"fmt"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

const (
	// burstSize is the number of events that are published before the load waits for all of them.
	burstSize = 64
	// flushRate is the rate at which flush publishes events, in events per second.
	flushRate = 10_000
	// warmUp is the maximum duration of the warm-up before each round. In this time, a side already does the
	// same work as in the round, but nothing is measured.
	warmUp = 300 * time.Millisecond
)

// round holds the measurements of one round of one side.
type round struct {
	events, deliveries int64
	cpu, wall, load    time.Duration
	nats               time.Duration // CPU time of the NATS server
	latency            *hdrhistogram.Histogram
	alone              *round // the round with the same events and a single subscriber; nil: not measured
}

func (r *round) perDelivery() float64 {
	return float64(r.cpu.Nanoseconds()) / 1000 / float64(max(r.deliveries, 1))
}

func (r *round) perSecond() float64 { return float64(r.deliveries) / r.wall.Seconds() }

func (r *round) micros(percentile float64) float64 {
	return float64(r.latency.ValueAtPercentile(percentile)) / 1000
}

func newLatency() *hdrhistogram.Histogram { return hdrhistogram.New(1, maxLatency, 3) }

// round calls work and returns the measurements of this call. The function work publishes events, and returns
// after the last of them has arrived.
func (d *side) round(work func() error) (*round, error) {
	r := &round{latency: newLatency()}
	d.group.latency = r.latency
	defer func() { d.group.latency = nil }()
	deliveries, published := d.group.advanced, d.source.expected.Load()
	if err := d.usage(r, work); err != nil {
		return nil, err
	}
	r.deliveries = d.group.advanced - deliveries
	r.events = (d.source.expected.Load() - published) / d.source.fan
	return r, nil
}

// usage calls work. In r, it stores the duration of the call, and the CPU times that the side, the load
// and the NATS server used during the call.
func (d *side) usage(r *round, work func() error) error {
	cpu, err := d.cpu()
	if err != nil {
		return err
	}
	nats, err := d.r.engine.cpu()
	if err != nil {
		return err
	}
	load, start := ownCPU(), time.Now()
	if err := work(); err != nil {
		return err
	}
	r.wall, r.load = time.Since(start), ownCPU()-load
	after, err := d.cpu()
	if err != nil {
		return err
	}
	r.cpu = after - cpu
	after, err = d.r.engine.cpu()
	r.nats = after - nats
	return err
}

// cpu returns the CPU time that the side's servers have used so far, or 0 for a hub that the bench did not start.
func (d *side) cpu() (time.Duration, error) {
	if d.server.child == nil {
		return 0, nil
	}
	var all time.Duration
	for _, server := range d.servers() {
		one, err := server.cpu()
		if err != nil {
			return 0, err
		}
		all += one
	}
	return all, nil
}

func ownCPU() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u) // never fails
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// work returns a function that publishes for the given time: at the rate of s or, if the rate is 0, in bursts.
func (d *side) work(s spec, length time.Duration) func() error {
	if s.rate > 0 {
		return func() error { return d.published(s.rate, max(1, int(length.Seconds()*float64(s.rate)))) }
	}
	return func() error {
		for end := time.Now().Add(length); ; {
			if err := d.source.publish(burstSize); err != nil {
				return err
			}
			if err := d.drain(); err != nil || time.Now().After(end) {
				return err
			}
		}
	}
}

// warmed measures one round of s after a warm-up.
func (d *side) warmed(s spec) (*round, error) {
	length := s.duration / time.Duration(s.rounds)
	if err := d.work(s, min(warmUp, length))(); err != nil {
		return nil, err
	}
	r, err := d.round(d.work(s, length))
	d.r.progress.step()
	return r, err
}

// compare compares a hub with the floor. It measures them alternately. Both deliver the same number of events
// to the same number of subscribers.
func (r *runner) compare(s spec) (*Result, error) {
	hub, err := r.hubSide(s, true)
	if err != nil {
		return nil, err
	}
	defer hub.close()
	floor, err := r.floor(s)
	if err != nil {
		return nil, err
	}
	defer floor.close()
	rounds, err := r.turns(s, hub, floor)
	if err != nil {
		return nil, err
	}
	return compared(s, hub, floor, rounds), nil
}

// scale compares a hub with the floor for each number of subscribers in s.levels().
func (r *runner) scale(s spec) ([]*Result, error) {
	var results []*Result
	for _, n := range s.levels() {
		s.subscribers = n
		result, err := r.compare(s)
		if err != nil {
			return nil, fmt.Errorf("%d subscribers: %w", n, err)
		}
		results = append(results, result)
	}
	return results, nil
}

// turns measures several sides alternately, s.rounds rounds for each, and then closes their connections. All sides do
// the same work.
func (r *runner) turns(s spec, sides ...*side) (map[*side][]*round, error) {
	rounds := map[*side][]*round{}
	for i := range s.rounds {
		order := slices.Clone(sides)
		if i%2 == 1 {
			slices.Reverse(order) // in every second round, the order is reversed
		}
		for _, d := range order {
			one, err := d.measureTurn(s)
			if err == nil && d.alone != nil {
				one.alone, err = d.alone.measureTurn(s.alone())
			}
			if err != nil {
				return nil, err
			}
			rounds[d] = append(rounds[d], one)
		}
	}
	for _, d := range sides {
		if err := d.linger(); err != nil {
			return nil, err
		}
		d.closeSubscribers()
	}
	return rounds, nil
}

// compared returns the result of comparing the rounds of a hub with the rounds of the floor.
func compared(s spec, hub, floor *side, rounds map[*side][]*round) *Result {
	result := s.result()
	hubs, floors := rounds[hub], rounds[floor]
	result.Hub, result.Floor = figures(hubs), figures(floors)
	result.CPURatio = medianOf(hubs, floors, (*round).perDelivery)
	result.P99Ratio = medianOf(hubs, floors, func(r *round) float64 { return r.micros(99) })
	result.Tally, result.Gaps, result.FloorLost = hub.tally, hub.gaps, floor.tally.Lost
	result.LoadCPU = loadShare(hubs)
	return result
}

// measureTurn measures one round of a side. Afterwards, it closes the connections of the side if the
// limit on open files is too low for the connections of all sides together.
func (d *side) measureTurn(s spec) (*round, error) {
	if d.group == nil {
		if err := d.subscribe(s); err != nil {
			return nil, err
		}
	}
	one, err := d.warmed(s)
	if err != nil || s.sides()*s.subscribers+spareFiles <= d.r.files {
		return one, err
	}
	if err := d.linger(); err != nil {
		return nil, err
	}
	d.closeSubscribers()
	return one, d.flush()
}

// subscribe opens a side's connections.
func (d *side) subscribe(s spec) error {
	if d.floor && s.transport != LongPoll {
		if _, err := d.source.udp.Write(openFloor(s.transport, s.scenario, s.subscribers)); err != nil {
			return err
		}
	}
	return d.open(d.name, s.transport, s.subscribers)
}

// flush publishes events after the subscribers have closed their connections. The server's writes
// then fail, and the server releases the connections.
func (d *side) flush() error {
	fan := d.source.fan
	d.source.fan = 0
	defer func() { d.source.fan = fan }()
	ended := make(chan error, 1)
	n := int(max(d.source.streams, 1))
	if err := d.beside(flushRate, n, ended, func() error { return d.r.load.pumpFor(time.Duration(n) * time.Second / flushRate) }); err != nil {
		return err
	}
	return d.r.load.pumpFor(200 * time.Millisecond)
}

// floor starts the floor for the transport of s.
func (r *runner) floor(s spec) (*side, error) {
	role, environ := ChildFloor, floorEnviron
	if s.transport == LongPoll {
		role, environ = ChildHandler, nil
	}
	server, err := r.start(environ, "bench", "--child", role)
	if err != nil {
		return nil, err
	}
	d, err := r.side(s, server, false)
	if err != nil {
		d.close()
		return nil, err
	}
	d.name, d.floor = "the floor", true
	return d, nil
}

// figures returns the figures of a side: sums, maxima and medians over its rounds.
func figures(rounds []*round) *Figures {
	f := &Figures{}
	var cpu time.Duration
	for _, r := range rounds {
		f.Events += r.events
		f.Deliveries += r.deliveries
		cpu += r.cpu
		f.Max = max(f.Max, float64(r.latency.Max())/1000)
	}
	f.CPUSeconds = cpu.Seconds()
	f.CPUPerDelivery = median(each(rounds, (*round).perDelivery))
	f.P50 = median(each(rounds, func(r *round) float64 { return r.micros(50) }))
	f.P99 = median(each(rounds, func(r *round) float64 { return r.micros(99) }))
	f.DeliveriesPerSecond = median(each(rounds, (*round).perSecond))
	return f
}

func each(rounds []*round, figure func(*round) float64) []float64 {
	all := make([]float64, len(rounds))
	for i, r := range rounds {
		all[i] = figure(r)
	}
	return all
}

// medianOf returns the median, over all rounds, of the hub's figure divided by the floor's, or 0 if the floor has no
// figure.
func medianOf(hubs, floors []*round, figure func(*round) float64) float64 {
	return median(ratiosOf(hubs, floors, figure))
}

func ratiosOf(hubs, floors []*round, figure func(*round) float64) (ratios []float64) {
	for i := range hubs {
		if f := figure(floors[i]); f > 0 {
			ratios = append(ratios, figure(hubs[i])/f)
		}
	}
	return ratios
}

func loadShare(rounds []*round) float64 {
	return median(each(rounds, func(r *round) float64 { return r.load.Seconds() / r.wall.Seconds() }))
}
