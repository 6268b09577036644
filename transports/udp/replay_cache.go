package udp

import (
	"time"

	"github.com/trivium-hub/trivium/transports/internal/wire"
)

const (
	// maxReplayEntries is the maximum number of signed datagrams in the cache, which then uses up
	// to 80 MB. Only senders with the secret can cause entries.
	maxReplayEntries = 1 << 21
	// bucketCount is the number of buckets into which the skew is divided.
	bucketCount = 16
)

// replayCache stores accepted signed datagrams until their time would make them invalid. It stores
// them in buckets by time, and deletes a bucket as a whole. A timer or a list entry for each
// datagram would need more memory than its fingerprint.
type replayCache struct {
	skew  time.Duration
	limit int // maximum number of entries

	buckets map[int64]map[fingerprint]struct{} // by time divided by the length of a bucket
	oldest  int64                              // number of the oldest bucket; earlier ones are deleted
	entries int
}

// fingerprint is the beginning of a MAC. Without the secret, nobody can find another datagram with
// the same 128 bits.
type fingerprint [16]byte

func newReplayCache(skew time.Duration, limit int) replayCache {
	return replayCache{skew: skew, limit: limit, buckets: make(map[int64]map[fingerprint]struct{})}
}

// add records the datagram and returns "". If the datagram is a repeat or its time is not
// acceptable, add returns the reason to drop it.
func (c *replayCache) add(now time.Time, s *wire.SignedDatagram) (reason string) {
	if age := now.Sub(s.Time); age > c.skew || age < -c.skew {
		return droppedReplayed
	}
	c.dropBefore(c.bucketOf(now.Add(-c.skew)))
	n := c.bucketOf(s.Time)
	if n < c.oldest {
		return droppedReplayed // the clock was set back, and this bucket is already deleted
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

// dropBefore deletes the buckets before first, which is the bucket of the oldest acceptable time.
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

func (c *replayCache) bucketOf(t time.Time) int64 {
	return t.UnixNano() / max(1, int64(c.skew)/bucketCount)
}
