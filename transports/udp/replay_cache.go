package udp

import (
	"time"

	"github.com/trivium-hub/trivium/transports/wire"
)

const (
	// maxTaken is how many signed datagrams are remembered at most. That many take up to 80 MB,
	// which only who has the secret can fill.
	maxReplayEntries = 1 << 21
	// pages is how many of them the skew is divided into.
	bucketCount = 16
)

// ledger remembers which signed datagrams were taken, until their own time has them refused. They
// are entered on pages by their time, and a page is torn out as a whole: a timer or an order for
// each would cost more than what is remembered of it.
type replayCache struct {
	skew  time.Duration
	limit int // of entries

	buckets map[int64]map[fingerprint]struct{} // by page: the time, divided by a page's length
	oldest  int64                              // those before it have been torn out
	entries int
}

// fingerprint is the beginning of a MAC: without the secret, 128 bits are not met by chance.
type fingerprint [16]byte

func newReplayCache(skew time.Duration, limit int) replayCache {
	return replayCache{skew: skew, limit: limit, buckets: make(map[int64]map[fingerprint]struct{})}
}

// enter gives "" if the datagram is to be taken, which happens once, or the reason to drop it.
func (c *replayCache) add(now time.Time, s *wire.SignedDatagram) (reason string) {
	if age := now.Sub(s.Time); age > c.skew || age < -c.skew {
		return droppedReplayed
	}
	c.dropBefore(c.bucketOf(now.Add(-c.skew)))
	n := c.bucketOf(s.Time)
	if n < c.oldest {
		return droppedReplayed // the clock was set back, and nobody knows any more
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

// forget tears out the pages before the given one, which is that of the oldest time still taken.
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
