package udp

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// entry returns a datagram that was signed at the given time.
func entry(at time.Time, payload int) *wire.SignedDatagram {
	return &wire.SignedDatagram{Time: at, MAC: sha256.Sum256(fmt.Append(nil, at.UnixNano(), payload))}
}

// TestReplayCache adds random datagrams and compares the results with a map of all accepted datagrams.
// Between two datagrams, the clock may be set forward or back.
func TestReplayCache(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		skew := time.Duration(rapid.SampledFrom([]int{1, 15, 16, 100, 1000}).Draw(t, "skew"))
		page := max(1, skew/bucketCount)
		limit := rapid.IntRange(1, 30).Draw(t, "limit")
		l := newReplayCache(skew, limit)
		clockSet := rapid.Bool().Draw(t, "clock set")
		now := time.Unix(1767225600, 0)
		high := now
		taken := make(map[[sha256.Size]byte]time.Time)
		for range rapid.IntRange(1, 200).Draw(t, "datagrams") {
			step := rapid.Int64Range(0, int64(skew)/4+1).Draw(t, "step")
			if clockSet && rapid.IntRange(0, 9).Draw(t, "set") == 0 {
				step = rapid.Int64Range(-3*int64(skew), 3*int64(skew)).Draw(t, "set by")
			}
			now = now.Add(time.Duration(step))
			offset := time.Duration(rapid.Int64Range(-int64(skew)-1, int64(skew)+1).Draw(t, "offset"))
			s := entry(now.Add(offset), rapid.IntRange(0, 1).Draw(t, "payload"))
			reason := l.add(now, s)

			_, again := taken[s.MAC]
			remembered, kept := 0, 0 // numbers of entries that the cache must still have, and that it may still have
			for _, at := range taken {
				if !at.Before(now.Add(-skew)) {
					remembered++
				}
				if !at.Before(now.Add(-skew - page)) {
					kept++
				}
			}
			outside := offset < -skew || offset > skew
			switch {
			case outside || again:
				require.Equal(t, droppedReplayed, reason)
			case clockSet && now.Before(high):
				require.Contains(t, []string{"", droppedReplayed, droppedOverload}, reason)
			case remembered >= limit:
				require.Equal(t, droppedOverload, reason)
			case kept < limit:
				require.Empty(t, reason)
			default:
				require.Contains(t, []string{"", droppedOverload}, reason)
			}
			if reason == "" {
				taken[s.MAC] = s.Time
			}
			if now.After(high) {
				high = now
			}
			require.LessOrEqual(t, l.entries, limit)
			counted := 0
			for _, page := range l.buckets {
				counted += len(page)
			}
			require.Equal(t, counted, l.entries)
		}
	})
}

// A full cache does not delete entries to make room. It refuses new datagrams until old entries expire.
func TestFullReplayCache(t *testing.T) {
	const skew = 16 * time.Second
	l := newReplayCache(skew, 3)
	began := time.Unix(1767225600, 0)
	for i := range 3 {
		require.Empty(t, l.add(began, entry(began, i)))
	}
	for _, c := range []struct {
		after   time.Duration
		payload int
		signed  time.Duration
		want    string
	}{
		{0, 4, 0, droppedOverload},
		{skew, 5, skew, droppedOverload},
		{skew, 0, 0, droppedReplayed},
		{skew, 4, 0, droppedOverload},
		{skew + time.Second - 1, 6, skew, droppedOverload}, // the old entries' bucket is not deleted yet
		{skew + time.Second, 0, 0, droppedReplayed},
		{skew + time.Second, 5, skew, ""},
		{skew + time.Second, 5, skew, droppedReplayed},
	} {
		require.Equal(t, c.want, l.add(began.Add(c.after), entry(began.Add(c.signed), c.payload)), c)
	}
	require.Equal(t, 1, l.entries)
}
