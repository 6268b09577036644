package udp

import (
	"time"

	"github.com/trivium-hub/trivium/transports/internal/wire"
)

const (
	// maxReplayEntries is the maximum number of signed datagrams that are remembered. They use up
	// to 80 MB, and only senders with the secret can fill them.
	maxReplayEntries = 1 << 21
	// bucketCount is the number of buckets in which the skew is divided.
	bucketCount = 16
)

// replayCache remembers accepted signed datagrams until their time alone has them refused. They are
// stored in buckets by their time, and a bucket is deleted as a whole, since a timer or a list
// entry for each datagram would cost more memory than its fingerprint.
type replayCache struct {
	skew  time.Duration
	limit int // maximum number of entries

	buckets map[int64]map[fingerprint]struct{} // by time, divided by a bucket's length
	oldest  int64                              // earlier buckets are deleted
	entries int
}

// fingerprint is the start of a MAC. Without the secret, a match of 128 bits cannot be found.
type fingerprint [16]byte

func newReplayCache(skew time.Duration, limit int) replayCache {
	return replayCache{skew: skew, limit: limit, buckets: make(map[int64]map[fingerprint]struct{})}
}

// add returns "" if the datagram is new and acceptable, and records it; else the reason to drop it.
func (c *replayCache) add(now time.Time, s *wire.SignedDatagram) (reason string) {
	if age := now.Sub(s.Time); age > c.skew || age < -c.skew {
		return droppedReplayed
	}
	c.dropBefore(c.bucketOf(now.Add(-c.skew)))
	n := c.bucketOf(s.Time)
	if n < c.oldest {
		return droppedReplayed // the clock was set back, and this bucket is deleted
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

// dropBefore deletes the buckets before first, the bucket of the oldest acceptable time.
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
