package bench

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestChecker(t *testing.T) {
	tests := []struct {
		name string
		got  []uint32 // numbers of the received events; events 0 to 5 were sent
		want Tally
	}{
		{"all received", []uint32{0, 1, 2, 3, 4, 5}, Tally{}},
		{"one event lost", []uint32{0, 1, 3, 4, 5}, Tally{Lost: 1}},
		{"first event lost", []uint32{1, 2, 3, 4, 5}, Tally{Lost: 1}},
		{"last three events lost", []uint32{0, 1, 2}, Tally{Lost: 3}},
		{"all events lost", nil, Tally{Lost: 6}},
		{"one event duplicated", []uint32{0, 1, 1, 2, 3, 4, 5}, Tally{Duplicated: 1}},
		{"old event duplicated", []uint32{0, 1, 2, 3, 0, 4, 5}, Tally{Duplicated: 1}},
		{"two events swapped", []uint32{0, 2, 1, 3, 4, 5}, Tally{Reordered: 1}},
		{"late event duplicated", []uint32{0, 2, 1, 1, 3, 4, 5}, Tally{Reordered: 1, Duplicated: 1}},
		{"the middle of a gap arrives late", []uint32{0, 4, 2, 5}, Tally{Reordered: 1, Lost: 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var c checker
			var got Tally
			advanced := int64(0)
			for _, seq := range tt.got {
				advanced += c.account(seq, &got)
			}
			require.EqualValues(t, c.next, advanced)
			c.accountMissing(6, &got)
			require.Equal(t, tt.want, got)
			require.Equal(t, tt.want == Tally{}, got.Clean())
		})
	}
	var c checker
	var got Tally
	c.account(0, &got)
	c.accountCorrupt(&got)
	c.account(2, &got)
	c.accountMissing(3, &got)
	require.Equal(t, Tally{Changed: 1}, got)
}

// TestCheckerAccounts compares the checker's counts with a simple model, for random sequences of events.
func TestCheckerAccounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const n = 12
		got := rapid.SliceOfN(rapid.Uint32Range(0, n-1), 0, 30).Draw(t, "got")
		var c checker
		var tally Tally
		seen := map[uint32]bool{}
		highest, late, again := -1, int64(0), int64(0)
		for _, seq := range got {
			c.account(seq, &tally)
			switch {
			case seen[seq]:
				again++
			case int(seq) < highest:
				late++
			}
			seen[seq] = true
			highest = max(highest, int(seq))
		}
		c.accountMissing(n, &tally)
		if want := (Tally{Lost: int64(n - len(seen)), Duplicated: again, Reordered: late}); tally != want {
			t.Fatalf("want %+v, got %+v", want, tally)
		}
	})
}

// TestStamp checks that parseStamp returns the stamp that put has encoded, and that it detects a change of any byte.
func TestStamp(t *testing.T) {
	for _, size := range []int{MinSize, 128, 1000} {
		want := stamp{stream: 7, seq: 1<<32 - 1, sent: 1 << 40}
		p := make([]byte, size)
		want.put(p)
		got, ok := parseStamp(p)
		require.True(t, ok)
		require.Equal(t, want, got)
		for i := range p[:len(p)-1] {
			p[i] ^= 1
			_, ok := parseStamp(p)
			require.False(t, ok, "byte %d of %d", i, size)
			p[i] ^= 1
		}
		_, ok = parseStamp(p[:size-1])
		require.False(t, ok)
		_, ok = parseStamp(nil)
		require.False(t, ok)
	}
}
