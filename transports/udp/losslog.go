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
	lossCheck  = time.Second      // interval at which the totals are checked for new losses
	lossPeriod = 10 * time.Second // minimum interval between two log lines with the same reason
)

// maxSample is the maximum length of the logged part of a dropped datagram, in bytes.
const maxSample = 64

// sample describes one datagram that was dropped, as an example for the log.
type sample struct {
	from netip.AddrPort
	text string // beginning of the datagram, escaped; "": it must not be logged
}

// sampleOf returns the sample for a datagram that was dropped. It contains the datagram's text only if
// the content was invalid. Otherwise the datagram could be a valid signed datagram, which a reader of the
// log could send again.
func sampleOf(reason string, from netip.AddrPort, datagram []byte) *sample {
	s := &sample{from: from}
	switch reason {
	case wire.RefusedMalformed, wire.RefusedTopic, wire.RefusedType, wire.RefusedTooLarge:
		s.text = strconv.QuoteToASCII(string(datagram[:min(len(datagram), maxSample)]))
	}
	return s
}

// lossLog logs, for each reason, the number of dropped JSON texts, lines or datagrams, and a sample. The
// goroutine that calls run owns the lossLog.
type lossLog struct {
	logger  *slog.Logger
	dropped func() map[string]uint64    // returns the totals by reason
	sample  func(reason string) *sample // removes and returns the stored sample; nil if there is none

	logged   map[string]uint64    // totals at the last log line, by reason
	loggedAt map[string]time.Time // time of the last log line, by reason
}

// run logs new losses until stopped is closed, and then once more.
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

// log writes a log line for each reason with new losses, unless the last line with this reason was written
// less than lossPeriod ago. If last is set, log ignores lossPeriod.
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
		l.logger.Warn("udp: dropped datagrams or events", attrs...)
		l.logged[reason], l.loggedAt[reason] = total, now
	}
}
