package hub

import (
	"time"
)

// latencyBounds are the upper bounds of the buckets of Stats.Latency.
var latencyBounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// Latency is a histogram of delivery latencies. See Stats.Latency.
type Latency struct {
	// Buckets maps each bound to the number of observations that are at most the bound and above
	// the previous bound. Observations above all bounds are counted only in Count.
	Buckets map[time.Duration]uint64
	Count   uint64
	Sum     time.Duration
}

// latencyClock is the clock for the latencies of batches. With the memory engine, it reads only the monotonic
// clock, because reading the time of day takes twice as long. It derives the time of day from the engine's
// latest reading of both clocks.
type latencyClock struct {
	engine *memoryEngine // static; nil: another machine may set the times of events
	offset int64         // engine.clockOffset at the latest publish; guarded by Hub.mu
}

// update sets the offset. The caller must hold the locks of the engine and of the hub.
func (c *latencyClock) update() {
	if c.engine != nil {
		c.offset = c.engine.clockOffset
	}
}

// read returns the reading of the clock in nanoseconds. With a memory engine, this is the time since
// engine.started, otherwise the time of day since 1970.
func (c *latencyClock) read() int64 {
	if c.engine != nil {
		return int64(time.Since(c.engine.started))
	}
	return time.Now().UnixNano()
}

// since returns the time that passed between two moments. The parameter at is the first moment, a time of day
// in nanoseconds since 1970. The parameter reading is what read returned at the second moment. Hub.mu must be
// held.
func (c *latencyClock) since(at, reading int64) time.Duration {
	return time.Duration(reading + c.offset - at)
}

// latencies is a histogram. It is not safe for concurrent use.
type latencies struct {
	counts [len(latencyBounds) + 1]uint64
	sum    time.Duration
}

// observe counts one latency. A negative latency, which occurs if a clock was set back, counts as zero.
func (l *latencies) observe(d time.Duration) {
	d = max(d, 0)
	i := 0
	for i < len(latencyBounds) && d > latencyBounds[i] {
		i++
	}
	l.counts[i]++
	l.sum += d
}

// snapshot returns the counts so far.
func (l *latencies) snapshot() Latency {
	s := Latency{Buckets: make(map[time.Duration]uint64, len(latencyBounds)), Sum: l.sum}
	for i, bound := range latencyBounds {
		s.Buckets[bound] = l.counts[i]
		s.Count += s.Buckets[bound]
	}
	s.Count += l.counts[len(latencyBounds)]
	return s
}
