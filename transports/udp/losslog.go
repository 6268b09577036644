package udp

import (
	"log/slog"
	"maps"
	"slices"
	"time"
)

const (
	lossCheck  = time.Second      // how soon a loss is seen
	lossPeriod = 10 * time.Second // between two lines about one reason
)

// lossLog writes of each reason how many were lost, never what was in them. It is owned by the
// goroutine of run.
type lossLog struct {
	logger  *slog.Logger
	dropped func() map[string]uint64 // totals by reason

	told   map[string]uint64 // of the totals
	toldAt map[string]time.Time
}

// run looks at the totals until stopped is closed, and then once more.
func (l *lossLog) run(stopped <-chan struct{}) {
	l.told, l.toldAt = make(map[string]uint64), make(map[string]time.Time)
	ticker := time.NewTicker(lossCheck)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			l.tell(false)
		case <-stopped:
			l.tell(true)
			return
		}
	}
}

// tell logs what is new of each reason that was not told of within lossPeriod, or at the end of
// all.
func (l *lossLog) tell(last bool) {
	totals, now := l.dropped(), time.Now()
	for _, reason := range slices.Sorted(maps.Keys(totals)) {
		total, at := totals[reason], l.toldAt[reason]
		if total == l.told[reason] || !last && !at.IsZero() && now.Sub(at) < lossPeriod {
			continue
		}
		l.logger.Warn("udp: dropped", "reason", reason, "count", total-l.told[reason], "total", total)
		l.told[reason], l.toldAt[reason] = total, now
	}
}
