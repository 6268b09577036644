package hub

import (
	"sync/atomic"
	"time"
)

// counters are what the hub counts beside the sizes it can look up.
type counters struct {
	published  atomic.Uint64
	erased     atomic.Uint64    // through this hub
	refused    atomic.Uint64    // by an engine that was away
	gaps       [3]atomic.Uint64 // by GapReason.index
	keysSpared atomic.Uint64    // calls of ClaimKeyIfSpare without a key
}

func (r GapReason) index() int {
	switch r {
	case GapExpired:
		return 0
	case GapEpoch:
		return 1
	default:
		return 2
	}
}

// Stats is the hub at one moment. Counts begin with the hub.
type Stats struct {
	Position      Cursor // of the newest event
	Published     uint64 // events that came into the log, by whichever hub
	Refused       uint64 // events of this hub's publishers not taken, or not confirmed, with ErrUnavailable
	Erased        uint64 // events erased through this hub
	Subscriptions int
	Groups        int // distinct sets of filters subscribed to
	FilterBytes   int // their memory

	RetainedEvents int
	RetainedBytes  int64 // of the events and their encodings
	RetainedTopics int
	GapTopics      int    // topics remembered for exact gaps
	RemovedByCount uint64 // events let go, by the limit that was reached
	RemovedByBytes uint64
	RemovedByAge   uint64

	Gaps map[GapReason]uint64 // told to subscribers

	IdempotencyKeys int    // remembered
	KeysSpared      uint64 // publishes that were to have a key by ClaimKeyIfSpare, and had none
}

// Stats looks.
func (h *Hub) Stats() Stats {
	keys := h.keys.len(time.Now())
	h.mu.RLock()
	defer h.mu.RUnlock()
	l := h.memlog
	s := Stats{
		Position:        Cursor{h.epoch, l.lastSeq},
		Published:       h.stats.published.Load(),
		Refused:         h.stats.refused.Load(),
		Erased:          h.stats.erased.Load(),
		Subscriptions:   h.subscriptions,
		Groups:          len(h.groups),
		FilterBytes:     h.filterBytes,
		RetainedEvents:  l.events.len() - l.placeholders,
		RetainedBytes:   l.size() + l.cache.bytes.Load(),
		RetainedTopics:  l.topics.retained,
		GapTopics:       l.topics.lossy,
		RemovedByCount:  l.removed[removedByCount],
		RemovedByBytes:  l.removed[removedByBytes],
		RemovedByAge:    l.removed[removedByAge],
		Gaps:            make(map[GapReason]uint64, len(h.stats.gaps)),
		IdempotencyKeys: keys,
		KeysSpared:      h.stats.keysSpared.Load(),
	}
	for _, reason := range []GapReason{GapExpired, GapEpoch, GapFuture} {
		s.Gaps[reason] = h.stats.gaps[reason.index()].Load()
	}
	return s
}
