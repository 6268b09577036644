package syntax

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCharactersOfCursorsAndTokens(t *testing.T) {
	for c := range 256 {
		isLetter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		want := isLetter || strings.ContainsRune("-._~", rune(c))
		require.Equal(t, want, IsUnreserved(byte(c)), "%q", c)
		for _, text := range []string{string([]byte{byte(c)}), string([]byte{'a', byte(c), 'b'})} {
			require.Equal(t, want, IsCursor(text), "%q", text)
			require.Equal(t, want, IsToken(text), "%q", text)
		}
	}
}

func TestLengthsOfCursorsAndTokens(t *testing.T) {
	require.False(t, IsCursor(""))
	require.False(t, IsToken(""))
	for _, tt := range []struct {
		is  func(string) bool
		max int
	}{{IsCursor, 64}, {IsToken, 8192}} {
		require.True(t, tt.is(strings.Repeat("a", tt.max)))
		require.False(t, tt.is(strings.Repeat("a", tt.max+1)))
	}
}
