package client

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestQueryRoundTrip checks that url.ParseQuery decodes what query encodes.
func TestQueryRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := url.Values{}
		var q query
		for range rapid.IntRange(0, 4).Draw(t, "parameters") {
			name, value := rapid.SampledFrom([]string{"topic", "cursor"}).Draw(t, "name"), rapid.String().Draw(t, "value")
			want.Add(name, value)
			q = q.with(name, value)
		}
		got, err := url.ParseQuery(string(q))
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}
