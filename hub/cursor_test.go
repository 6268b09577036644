package hub

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var cursorTable = []struct {
	name, text string
	cursor     Cursor
	ok         bool
}{
	{name: "first", text: "00000000-0", ok: true},
	{name: "some", text: "1f0c9a77-42", cursor: Cursor{0x1f0c9a77, 42}, ok: true},
	{name: "largest", text: "ffffffff-18446744073709551615", cursor: Cursor{math.MaxUint32, math.MaxUint64}, ok: true},
	{name: "empty", text: ""},
	{name: "no seq", text: "1f0c9a77-"},
	{name: "no hyphen", text: "1f0c9a7742"},
	{name: "seq larger than a uint64", text: "1f0c9a77-18446744073709551616"},
	{name: "20 nines", text: "1f0c9a77-99999999999999999999"},
	{name: "21 digits", text: "1f0c9a77-100000000000000000000"},
	{name: "upper case", text: "1F0C9A77-42"},
	{name: "short epoch", text: "1f0c9a7-42"},
	{name: "long epoch", text: "1f0c9a770-42"},
	{name: "letter that is not hexadecimal", text: "1g0c9a77-42"},
	{name: "leading zero", text: "1f0c9a77-042"},
	{name: "plus", text: "1f0c9a77-+42"},
	{name: "minus", text: "1f0c9a77--42"},
	{name: "underscore", text: "1f0c9a77-4_2"},
	{name: "hexadecimal seq", text: "1f0c9a77-0x2"},
	{name: "character before 0 in ASCII", text: "1f0c9a77-4/"},
	{name: "character after 9 in ASCII", text: "1f0c9a77-4:"},
	{name: "space at the beginning", text: " 1f0c9a77-42"},
	{name: "space at the end", text: "1f0c9a77-42 "},
	{name: "line feed at the end", text: "1f0c9a77-42\n"},
	{name: "digits that are not ASCII", text: "1f0c9a77-٤٢"},
}

func TestParseCursor(t *testing.T) {
	for _, row := range cursorTable {
		t.Run(row.name, func(t *testing.T) {
			c, err := ParseCursor(row.text)
			require.Equal(t, row.cursor, c)
			if !row.ok {
				require.ErrorIs(t, err, ErrCursor)
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.text, c.String())
		})
	}
}

func TestCursorRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Cursor{Epoch(rapid.Uint32().Draw(t, "epoch")), rapid.Uint64().Draw(t, "seq")}
		again, err := ParseCursor(c.String())
		require.NoError(t, err)
		require.Equal(t, c, again)
		require.LessOrEqual(t, len(c.String()), MaxCursorLen)
		require.True(t, IsCursor(c.String()))
	})
}

func TestIsCursor(t *testing.T) {
	for c := range 256 {
		isLetter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		want := isLetter || strings.ContainsRune("-._~", rune(c))
		for _, text := range []string{string([]byte{byte(c)}), string([]byte{'a', byte(c), 'b'})} {
			require.Equal(t, want, IsCursor(text), "%q", text)
		}
	}
	require.False(t, IsCursor(""))
	require.True(t, IsCursor(strings.Repeat("a", 64)))
	require.False(t, IsCursor(strings.Repeat("a", 65)))
}

func FuzzCursor(f *testing.F) {
	for _, row := range cursorTable {
		f.Add(row.text)
	}
	pattern := regexp.MustCompile(`\A[0-9a-f]{8}-(0|[1-9][0-9]*)\z`)
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCursor(s)
		fits := false
		if pattern.MatchString(s) {
			_, tooLarge := strconv.ParseUint(s[9:], 10, 64)
			fits = tooLarge == nil
		}
		require.Equal(t, fits, err == nil)
		if fits {
			require.Equal(t, s, c.String())
		}
	})
}
