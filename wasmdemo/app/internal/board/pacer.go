package board

import "time"

const (
	// MaxBatch is how many events the hub takes in one array (docs/protocol.md#publishing-over-http).
	MaxBatch = 1000
	// MaxRate is the most events a second that the page offers to publish.
	MaxRate = 1000
)

// Pacer computes how many events are due at a rate, however late it is asked.
type Pacer struct {
	rate  float64 // events a second
	since time.Time
	owed  float64
}

// Set starts a rate; nothing is due yet.
func (p *Pacer) Set(rate float64, at time.Time) { *p = Pacer{rate: rate, since: at} }

// Due returns how many events are due, at most MaxBatch, and how many are skipped because the backlog is too
// large.
func (p *Pacer) Due(at time.Time) (due, skipped int) {
	p.owed += p.rate * at.Sub(p.since).Seconds()
	p.since = at
	n := int(p.owed)
	p.owed -= float64(n)
	return min(n, MaxBatch), max(0, n-MaxBatch)
}
