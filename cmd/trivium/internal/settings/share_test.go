package settings

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestShare(t *testing.T) {
	for text, want := range map[string]struct{ of100, of7, of0 int }{
		"0": {0, 0, 0}, "12": {12, 12, 12}, "50%": {50, 4, 0}, "1%": {1, 1, 0}, "100%": {100, 7, 0},
	} {
		var s Share
		require.NoError(t, s.UnmarshalText([]byte(text)), text)
		require.Equal(t, text, s.String())
		require.Equal(t, []int{want.of100, want.of7, want.of0}, []int{s.of(100), s.of(7), s.of(0)}, text)
	}
	var s Share
	for text, want := range map[string]string{
		"": errShare.Error(), "half": errShare.Error(), "50 %": errShare.Error(), "-5%": errShare.Error(), "1.5": errShare.Error(),
		"0%": "want 1% to 100%", "101%": "want 1% to 100%", "-1": "want 0 to 1073741824", "1073741825": "want 0 to 1073741824",
	} {
		require.EqualError(t, s.UnmarshalText([]byte(text)), want, text)
	}
}

// TestOnlyTokenHasAllConnections checks that a percentage as the limit of connections per token does not
// apply if the hub accepts only one token.
func TestOnlyTokenHasAllConnections(t *testing.T) {
	for _, row := range []struct {
		share            Share
		several, onlyOne int
	}{{-50, 5, 0}, {3, 3, 3}, {0, 0, 0}} {
		var c ServeConfig
		c.MaxConnections, c.MaxConnectionsPerToken = 10, row.share
		require.Equal(t, row.several, c.PerToken().Connections)
		require.Equal(t, row.onlyOne, c.OfOnlyToken().Connections)
	}
}
