package board

import (
	"math"
	"time"
)

// The latency chart shows ChartSlots slots of chartSlot each: the last half minute.
const (
	ChartSlots = 120
	chartSlot  = 250 * time.Millisecond
)

// Latencies are counted in bins of a logarithmic scale that begins at MinLatency. Shorter latencies
// are counted in the first bin, and latencies beyond the scale in the last one.
const (
	MinLatency = 100 * time.Microsecond
	decades    = 6 // up to 100 s
	perDecade  = 12
	bins       = decades * perDecade
)

// Latency measures the latency of events over the last half minute.
type Latency struct {
	slots [ChartSlots]latencySlot
	now   int64 // number of the newest slot since the clock's zero
}

type latencySlot struct {
	count    uint32
	foreign  uint32 // number of latencies that were measured with the hub's clock
	min, max time.Duration
	bins     [bins]uint32
}

// Add records a latency at a time, which must not be earlier than that of the previous call. foreign
// must be set if the latency was computed from a time of the hub's clock and one of the page's.
func (l *Latency) Add(at time.Time, d time.Duration, foreign bool) {
	l.clearOldSlots(at)
	d = max(d, 0) // the hub's clock may be ahead
	s := &l.slots[l.now%ChartSlots]
	if s.count == 0 || d < s.min {
		s.min = d
	}
	s.max = max(s.max, d)
	s.count++
	if foreign {
		s.foreign++
	}
	s.bins[bin(d)]++
}

func bin(d time.Duration) int {
	if d <= MinLatency {
		return 0
	}
	return min(bins-1, int(math.Log10(float64(d)/float64(MinLatency))*perDecade))
}

// Quantile returns the latency that was not exceeded by the fraction q of the events. It returns
// false if there are no events. The result is the upper end of a bin, so it is too large by up to a
// fifth.
func (l *Latency) Quantile(at time.Time, q float64) (time.Duration, bool) {
	l.clearOldSlots(at)
	var sum [bins]uint32
	var count uint32
	var longest time.Duration
	for i := range l.slots {
		s := &l.slots[i]
		if s.count == 0 {
			continue
		}
		count += s.count
		longest = max(longest, s.max)
		for b, n := range s.bins {
			sum[b] += n
		}
	}
	if count == 0 {
		return 0, false
	}
	var within uint32
	for b, n := range sum {
		if within += n; float64(within) >= q*float64(count) {
			end := float64(MinLatency) * math.Pow(10, float64(b+1)/perDecade)
			return min(longest, time.Duration(end)), true
		}
	}
	return longest, true
}

// Foreign returns the number of events in the last half minute whose latency depends on the hub's
// clock (see Add), and the number of all events in that time.
func (l *Latency) Foreign(at time.Time) (foreign, all uint32) {
	l.clearOldSlots(at)
	for i := range l.slots {
		foreign += l.slots[i].foreign
		all += l.slots[i].count
	}
	return foreign, all
}

// Bar is a slot of the chart. Count is 0 if the slot has no events.
type Bar struct {
	Count    uint32
	Min, Max time.Duration
}

// Chart returns the slots up to a time, oldest first.
func (l *Latency) Chart(at time.Time) (bars [ChartSlots]Bar) {
	l.clearOldSlots(at)
	for i := range bars {
		s := &l.slots[(l.now+1+int64(i))%ChartSlots]
		bars[i] = Bar{s.count, s.min, s.max}
	}
	return bars
}

// Scale is the number of decades of a logarithmic scale that begins at ScaleBegin. Latencies below
// ScaleBegin are drawn at the beginning.
type Scale int

// ScaleBegin is the resolution of a browser's clock.
const ScaleBegin = time.Millisecond

// ScaleOf returns a scale that fits the charts of all columns, so that they can be compared.
func ScaleOf(figures *[Columns]Figures) Scale {
	const least, most = 2, 5 // decades: a shorter scale would be filled by noise, and 5 decades suffice for 100 s
	longest := time.Duration(0)
	for c := range figures {
		for _, bar := range figures[c].Chart {
			longest = max(longest, bar.Max)
		}
	}
	scale := Scale(least)
	for scale < most && scale.Height(longest) > 1 {
		scale++
	}
	return scale
}

// Height returns the position of a latency on the scale: 0 at its beginning, 1 at its end, and more
// than 1 beyond the end.
func (s Scale) Height(d time.Duration) float64 {
	return math.Log10(float64(max(d, ScaleBegin))/float64(ScaleBegin)) / float64(s)
}

// clearOldSlots makes the slot of the given time the newest slot. It clears the slots after the
// previous newest one, because their data is from before the last half minute.
func (l *Latency) clearOldSlots(at time.Time) {
	now := at.UnixNano() / int64(chartSlot)
	for s := max(l.now+1, now-ChartSlots+1); s <= now; s++ {
		l.slots[s%ChartSlots] = latencySlot{}
	}
	l.now = max(l.now, now)
}
