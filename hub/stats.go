package hub

import (
	"sync/atomic"
	"time"
)

// counters holds the statistics that cannot be computed from other state.
type counters struct {
	published  uint64           // guarded by Hub.mu
	erased     atomic.Uint64    // events erased through this hub
	refused    atomic.Uint64    // events refused because the engine was unavailable
	gaps       [3]atomic.Uint64 // indexed by GapReason.index
	keysSpared atomic.Uint64    // calls of ClaimKeyIfSpare that returned no claim
}

// Stats is a snapshot of the hub's statistics. Counters begin at zero when the hub starts.
type Stats struct {
	Position      Cursor // position of the newest event
	Published     uint64 // events added to the log by any hub
	Refused       uint64 // events published through this hub that failed with ErrUnavailable, or were not confirmed
	Erased        uint64 // events erased through this hub
	Subscriptions int
	Groups        int // subscription groups: distinct filter sets
	FilterBytes   int // memory of all filter sets in bytes
	// BatchBytes is the memory, in bytes, of the batches that several workers offer to the subscribers of large groups, at
	// most 16 MiB.
	BatchBytes int64

	RetainedEvents int
	RetainedBytes  int64 // bytes of retained events, as limited by Retention.Bytes
	RetainedTopics int
	GapTopics      int    // topics whose losses are remembered for exact gaps
	RemovedByCount uint64 // events removed by retention, by the limit that was reached
	RemovedByBytes uint64
	RemovedByAge   uint64

	Gaps map[GapReason]uint64 // gaps reported to subscribers

	// Latency contains one observation for each batch of a subscription group: the time from the Time
	// of the oldest event until the batch was offered to the last subscriber of the group. A shard that
	// missed a batch is offered its events in another batch, which adds another observation. Later
	// reads by subscribers that are behind are not observed. If another machine sets Time, the
	// difference of the two clocks is included.
	Latency Latency

	IdempotencyKeys int    // number of remembered keys
	KeysSpared      uint64 // publishes without a key because ClaimKeyIfSpare returned none
}

// Stats returns the current statistics.
func (h *Hub) Stats() Stats {
	keys := h.keys.len(time.Now())
	h.mu.RLock()
	defer h.mu.RUnlock()
	l := h.memlog
	s := Stats{
		Position:        Cursor{h.epoch, l.lastSeq},
		Published:       h.stats.published,
		Refused:         h.stats.refused.Load(),
		Erased:          h.stats.erased.Load(),
		Subscriptions:   h.subscriptions,
		Groups:          len(h.groups),
		FilterBytes:     h.filterBytes,
		BatchBytes:      h.batches.bytes.Load(),
		RetainedEvents:  l.events.len() - l.placeholders,
		RetainedBytes:   l.size(),
		RetainedTopics:  l.topics.retained,
		GapTopics:       l.topics.lossTopics,
		RemovedByCount:  l.removed[removedByCount],
		RemovedByBytes:  l.removed[removedByBytes],
		RemovedByAge:    l.removed[removedByAge],
		Gaps:            make(map[GapReason]uint64, len(h.stats.gaps)),
		IdempotencyKeys: keys,
		KeysSpared:      h.stats.keysSpared.Load(),
		Latency:         h.batches.latency.snapshot(),
	}
	for _, reason := range []GapReason{GapExpired, GapEpoch, GapFuture} {
		s.Gaps[reason] = h.stats.gaps[reason.index()].Load()
	}
	return s
}
