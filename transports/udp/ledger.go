package udp

import (
	"time"

	"github.com/trivium-hub/trivium/transports/wire"
)

const (
	// maxTaken is how many signed datagrams are remembered at most. That many take up to 80 MB,
	// which only who has the secret can fill.
	maxTaken = 1 << 21
	// pages is how many of them the skew is divided into.
	pages = 16
)

// ledger remembers which signed datagrams were taken, until their own time has them refused. They
// are entered on pages by their time, and a page is torn out as a whole: a timer or an order for
// each would cost more than what is remembered of it.
type ledger struct {
	skew  time.Duration
	limit int // of entries

	entered map[int64]map[fingerprint]struct{} // by page: the time, divided by a page's length
	first   int64                              // those before it have been torn out
	entries int
}

// fingerprint is the beginning of a MAC: without the secret, 128 bits are not met by chance.
type fingerprint [16]byte

func newLedger(skew time.Duration, limit int) ledger {
	return ledger{skew: skew, limit: limit, entered: make(map[int64]map[fingerprint]struct{})}
}

// enter gives "" if the datagram is to be taken, which happens once, or the reason to drop it.
func (l *ledger) enter(now time.Time, s *wire.SignedDatagram) (reason string) {
	if age := now.Sub(s.Time); age > l.skew || age < -l.skew {
		return droppedReplayed
	}
	l.forget(l.page(now.Add(-l.skew)))
	n := l.page(s.Time)
	if n < l.first {
		return droppedReplayed // the clock was set back, and nobody knows any more
	}
	page, id := l.entered[n], fingerprint(s.MAC[:])
	if _, again := page[id]; again {
		return droppedReplayed
	}
	if l.entries >= l.limit {
		return droppedOverload
	}
	if page == nil {
		page = make(map[fingerprint]struct{})
		l.entered[n] = page
	}
	page[id] = struct{}{}
	l.entries++
	return ""
}

// forget tears out the pages before the given one, which is that of the oldest time still taken.
func (l *ledger) forget(first int64) {
	if first <= l.first {
		return
	}
	l.first = first
	for n, page := range l.entered {
		if n < first {
			l.entries -= len(page)
			delete(l.entered, n)
		}
	}
}

func (l *ledger) page(t time.Time) int64 { return t.UnixNano() / max(1, int64(l.skew)/pages) }
