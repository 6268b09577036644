package settings

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var sizeTests = []struct {
	text string
	want Size
	ok   bool
}{
	{"0", 0, true},
	{"1024", 1024, true},
	{"1B", 1, true},
	{"1KiB", 1 << 10, true},
	{"64MiB", 64 << 20, true},
	{"3gib", 3 << 30, true},
	{"1TiB", 1 << 40, true},
	{"10KB", 10e3, true},
	{"10mb", 10e6, true},
	{"2 GB", 2e9, true},
	{" 1TB ", 1e12, true},
	{"-1KiB", -1 << 10, true}, // each setting checks its own bounds later
	{"9223372036854775807", math.MaxInt64, true},
	{"8388607TiB", 8388607 << 40, true},
	{"8388608TiB", 0, false},
	{"9223372036854775808", 0, false},
	{"", 0, false},
	{"B", 0, false},
	{"KiB", 0, false},
	{"1K", 0, false},
	{"1M", 0, false},
	{"1.5MiB", 0, false},
	{"1MiBB", 0, false},
	{"0x10", 0, false},
	{"1e6", 0, false},
}

func TestSize(t *testing.T) {
	for _, tt := range sizeTests {
		t.Run(tt.text, func(t *testing.T) {
			var got Size
			err := got.UnmarshalText([]byte(tt.text))
			if !tt.ok {
				require.ErrorIs(t, err, errSize)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}

func TestSizeStringRoundTrips(t *testing.T) {
	require.Equal(t, "64MiB", Size(64<<20).String())
	require.Equal(t, "1000B", Size(1000).String())
	require.Equal(t, "0B", Size(0).String())
	rapid.Check(t, func(t *rapid.T) {
		want := Size(rapid.Int64().Draw(t, "number") >> 20 << rapid.IntRange(0, 20).Draw(t, "shift"))
		var got Size
		require.NoError(t, got.UnmarshalText([]byte(want.String())))
		require.Equal(t, want, got)
	})
}

func FuzzSize(f *testing.F) {
	for _, tt := range sizeTests {
		f.Add(tt.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var size, again Size
		if size.UnmarshalText([]byte(text)) != nil {
			require.Zero(t, size, "an invalid value changes nothing")
			return
		}
		require.Equal(t, size < 0, strings.HasPrefix(strings.TrimSpace(text), "-") && size != 0)
		require.NoError(t, again.UnmarshalText([]byte(size.String())))
		require.Equal(t, size, again)
	})
}
