package board

import "time"

// lagLimit is the time within which a column should reach an event that another column has
// received. At a high rate the columns are always a few events apart, so the number of events does
// not show whether a column is slow.
const lagLimit = time.Second

// lag measures how long a column has been behind a position. It restarts when the column reaches
// the position.
type lag struct {
	behind position
	since  time.Time // zero: not behind
}

// update records that the column is behind by the given number of events, and reports whether the
// column lags.
func (l *lag) update(p *Proof, c int, behind uint64, now time.Time) bool {
	switch {
	case behind == 0:
		*l = lag{}
	case l.since.IsZero() || p.reached(c, l.behind):
		*l = lag{p.newest(), now}
	}
	return !l.since.IsZero() && now.Sub(l.since) >= lagLimit
}

// catchUp measures how long a column takes to reach a position, its target.
type catchUp struct {
	target position
	since  time.Time
	took   time.Duration
	done   bool
}

func (w *catchUp) update(p *Proof, c int, now time.Time) {
	if !w.done && p.reached(c, w.target) {
		w.done, w.took = true, now.Sub(w.since)
	}
}

// Watch starts to measure how long a column takes to reach the newest event that any column has
// received. It returns the number of events that the column is behind.
func (b *Board) Watch(c int, now time.Time) (behind uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := &b.columns[c].catchUp
	*w = catchUp{target: b.proof.newest(), since: now}
	w.update(&b.proof, c, now)
	return b.proof.Report().Columns[c].Behind
}

// CaughtUp reports whether the column has caught up since the last call of Watch, and returns how
// long that took.
func (b *Board) CaughtUp(c int) (took time.Duration, done bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := &b.columns[c].catchUp
	return w.took, w.done
}
