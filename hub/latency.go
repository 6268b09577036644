package hub

import (
	"sync/atomic"
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

// latencies is a histogram that workers update concurrently, without a lock.
type latencies struct {
	counts [len(latencyBounds) + 1]atomic.Uint64
	sum    atomic.Int64
}

// observe counts one latency. A negative latency, which occurs if a clock was set back, counts as zero.
func (l *latencies) observe(d time.Duration) {
	d = max(d, 0)
	i := 0
	for i < len(latencyBounds) && d > latencyBounds[i] {
		i++
	}
	l.counts[i].Add(1)
	l.sum.Add(int64(d))
}

// snapshot returns the counts so far.
func (l *latencies) snapshot() Latency {
	s := Latency{Buckets: make(map[time.Duration]uint64, len(latencyBounds)), Sum: time.Duration(l.sum.Load())}
	for i, bound := range latencyBounds {
		s.Buckets[bound] = l.counts[i].Load()
		s.Count += s.Buckets[bound]
	}
	s.Count += l.counts[len(latencyBounds)].Load()
	return s
}
