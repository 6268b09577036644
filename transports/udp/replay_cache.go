package udp

import (
	"time"

	"github.com/trivium-hub/trivium/transports/internal/wire"
)

const (
	// maxReplayEntries is the maximum number of entries in the cache, which then uses up to 80 MB.
	// Only senders that know the secret can add entries.
	maxReplayEntries = 1 << 21
	// bucketCount is the number of buckets that together span the duration of one skew.
	bucketCount = 16
)

// replayCache stores the fingerprint of each accepted datagram until the time of the datagram is outside
// the skew. It groups the fingerprints in buckets by time, and deletes whole buckets. A timer or list entry
// per datagram would need more memory than the fingerprint.
type replayCache struct {
	skew  time.Duration
	limit int // maximum number of entries

	buckets map[int64]map[fingerprint]struct{} // by number, see bucketOf
	oldest  int64                              // number of the oldest bucket; buckets before it are deleted
	entries int                                // number of fingerprints in all buckets
}

// fingerprint is the first 128 bits of a datagram's MAC. Without the secret, it is infeasible to find
// another datagram with the same fingerprint.
type fingerprint [16]byte

func newReplayCache(skew time.Duration, limit int) replayCache {
	return replayCache{skew: skew, limit: limit, buckets: make(map[int64]map[fingerprint]struct{})}
}

// add stores the fingerprint of a datagram and returns "". If the datagram must be dropped, because it is
// a repeat, its time is outside the skew or the cache is full, add returns the reason.
func (c *replayCache) add(now time.Time, s *wire.SignedDatagram) (reason string) {
	if age := now.Sub(s.Time); age > c.skew || age < -c.skew {
		return droppedReplayed
	}
	c.dropBefore(c.bucketOf(now.Add(-c.skew)))
	n := c.bucketOf(s.Time)
	if n < c.oldest {
		return droppedReplayed // the clock was set back; because this bucket is deleted, the datagram may be a repeat
	}
	bucket, id := c.buckets[n], fingerprint(s.MAC[:])
	if _, again := bucket[id]; again {
		return droppedReplayed
	}
	if c.entries >= c.limit {
		return droppedOverload
	}
	if bucket == nil {
		bucket = make(map[fingerprint]struct{})
		c.buckets[n] = bucket
	}
	bucket[id] = struct{}{}
	c.entries++
	return ""
}

// dropBefore deletes each bucket whose number is less than the parameter first: the number of the bucket
// for the oldest acceptable time.
func (c *replayCache) dropBefore(first int64) {
	if first <= c.oldest {
		return
	}
	c.oldest = first
	for n, bucket := range c.buckets {
		if n < first {
			c.entries -= len(bucket)
			delete(c.buckets, n)
		}
	}
}

// bucketOf returns the number of the bucket for a time.
func (c *replayCache) bucketOf(t time.Time) int64 {
	return t.UnixNano() / max(1, int64(c.skew)/bucketCount)
}
