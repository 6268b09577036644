package udp

import (
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/trivium-hub/trivium/transports/wire"
)

const (
	lossCheck  = time.Second      // how soon a loss is seen
	lossPeriod = 10 * time.Second // between two lines about one reason
)

// maxSample is how many bytes of a dropped datagram are logged.
const maxSample = 64

// sample describes one of the datagrams that were dropped for a reason.
type sample struct {
	from netip.AddrPort
	text string // escaped; empty: not shown
}

// sampleOf returns what is logged of a datagram. A signed one is not shown: others could send it again.
func sampleOf(reason string, from netip.AddrPort, datagram []byte) *sample {
	s := &sample{from: from}
	switch reason {
	case wire.RefusedMalformed, wire.RefusedTopic, wire.RefusedType, wire.RefusedTooLarge:
		s.text = strconv.QuoteToASCII(string(datagram[:min(len(datagram), maxSample)]))
	}
	return s
}

// lossLog logs how many texts or datagrams were dropped for each reason, and the sender and the beginning of one
// of them. It is owned by the goroutine of run.
type lossLog struct {
	logger  *slog.Logger
	dropped func() map[string]uint64    // totals by reason
	sample  func(reason string) *sample // takes the one that was kept; nil: there is none

	logged   map[string]uint64 // of the totals
	loggedAt map[string]time.Time
}

// run looks at the totals until stopped is closed, and then once more.
func (l *lossLog) run(stopped <-chan struct{}) {
	l.logged, l.loggedAt = make(map[string]uint64), make(map[string]time.Time)
	ticker := time.NewTicker(lossCheck)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			l.log(false)
		case <-stopped:
			l.log(true)
			return
		}
	}
}

// tell logs what is new of each reason that was not told of within lossPeriod, or at the end of
// all.
func (l *lossLog) log(last bool) {
	totals, now := l.dropped(), time.Now()
	for _, reason := range slices.Sorted(maps.Keys(totals)) {
		total, at := totals[reason], l.loggedAt[reason]
		if total == l.logged[reason] || !last && !at.IsZero() && now.Sub(at) < lossPeriod {
			continue
		}
		attrs := []any{"reason", reason, "count", total - l.logged[reason], "total", total}
		if example := l.sample(reason); example != nil {
			attrs = append(attrs, "sender", example.from.String())
			if example.text != "" {
				attrs = append(attrs, "datagram", example.text)
			}
		}
		l.logger.Warn("udp: dropped", attrs...)
		l.logged[reason], l.loggedAt[reason] = total, now
	}
}
