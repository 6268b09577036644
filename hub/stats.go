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
	keysSpared atomic.Uint64    // calls of OnceIfSpare without a key
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
	Feeds         int // distinct sets of filters subscribed to
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
	KeysSpared      uint64 // publishes that were to have a key by OnceIfSpare, and had none
}

// Stats looks.
func (h *Hub) Stats() Stats {
	keys := h.keys.len(time.Now())
	h.mu.RLock()
	defer h.mu.RUnlock()
	w := h.window
	s := Stats{
		Position:        Cursor{h.epoch, w.head},
		Published:       h.stats.published.Load(),
		Refused:         h.stats.refused.Load(),
		Erased:          h.stats.erased.Load(),
		Subscriptions:   h.subscriptions,
		Feeds:           len(h.feeds),
		FilterBytes:     h.filterBytes,
		RetainedEvents:  w.events.len() - w.erased,
		RetainedBytes:   w.size() + w.cache.bytes.Load(),
		RetainedTopics:  w.topics.retained,
		GapTopics:       w.topics.lossy,
		RemovedByCount:  w.removed[removedByCount],
		RemovedByBytes:  w.removed[removedByBytes],
		RemovedByAge:    w.removed[removedByAge],
		Gaps:            make(map[GapReason]uint64, len(h.stats.gaps)),
		IdempotencyKeys: keys,
		KeysSpared:      h.stats.keysSpared.Load(),
	}
	for _, reason := range []GapReason{GapExpired, GapEpoch, GapFuture} {
		s.Gaps[reason] = h.stats.gaps[reason.index()].Load()
	}
	return s
}
