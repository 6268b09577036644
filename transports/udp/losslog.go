package udp

import (
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/trivium-hub/trivium/transports/internal/wire"
)

const (
	lossCheck  = time.Second      // interval between two checks of the totals
	lossPeriod = 10 * time.Second // minimum interval between two log lines for one reason
)

// maxSample is the maximum number of bytes of a dropped datagram that are logged.
const maxSample = 64

// sample is an example of a datagram that was dropped for one reason.
type sample struct {
	from netip.AddrPort
	text string // escaped; empty: not logged
}

// sampleOf returns the sample of a datagram. It omits the content of a signed datagram, because a
// reader of the log could send the datagram again.
func sampleOf(reason string, from netip.AddrPort, datagram []byte) *sample {
	s := &sample{from: from}
	switch reason {
	case wire.RefusedMalformed, wire.RefusedTopic, wire.RefusedType, wire.RefusedTooLarge:
		s.text = strconv.QuoteToASCII(string(datagram[:min(len(datagram), maxSample)]))
	}
	return s
}

// lossLog logs the number of dropped JSON texts, lines or datagrams for each reason, with the
// sender and the beginning of one of them. The goroutine of run owns it.
type lossLog struct {
	logger  *slog.Logger
	dropped func() map[string]uint64    // totals by reason
	sample  func(reason string) *sample // removes and returns the stored sample; nil if there is none

	logged   map[string]uint64 // totals already logged
	loggedAt map[string]time.Time
}

// run checks the totals until stopped is closed, and then one last time.
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

// log logs the new losses for each reason that was not logged within lossPeriod. If last is set, it
// logs the new losses for all reasons.
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
