package board

import "time"

const (
	// MaxBatch is the maximum number of events in one array
	// (docs/protocol.md#publishing-over-http).
	MaxBatch = 1000
	// MaxRate is the highest rate, in events per second, that the page offers.
	MaxRate = 1000
)

// Pacer computes how many events are due at a given rate. The total does not depend on the times of
// the calls.
type Pacer struct {
	rate  float64 // events per second
	since time.Time
	owed  float64
}

// Set sets the rate. At the given time, no event is due yet.
func (p *Pacer) Set(rate float64, at time.Time) { *p = Pacer{rate: rate, since: at} }

// Due returns the number of due events, at most MaxBatch, and the number of further due events,
// which are skipped.
func (p *Pacer) Due(at time.Time) (due, skipped int) {
	p.owed += p.rate * at.Sub(p.since).Seconds()
	p.since = at
	n := int(p.owed)
	p.owed -= float64(n)
	return min(n, MaxBatch), max(0, n-MaxBatch)
}
