package wire

import (
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type selectionVector struct {
	Query       string
	LastEventID string `json:"last_event_id"`
	Selection   *struct {
		Filters  []string
		Cursor   string
		Foreign  string
		Last     int
		Since    string
		Conflate bool
	}
	Refused string
}

func TestParseSelection(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 4, 0, time.UTC)
	for _, v := range loadIngress[selectionVector](t, "selection.json") {
		t.Run(v.Query+" "+v.LastEventID, func(t *testing.T) {
			q, err := url.ParseQuery(v.Query)
			require.NoError(t, err)
			s, err := ParseSelection(q, v.LastEventID, 4, now)
			want := v.Selection
			if want == nil {
				requireRefused(t, v.Refused, err)
				require.Equal(t, Selection{}, s)
				return
			}
			require.NoError(t, err)
			var filters []string
			for _, f := range s.Filters {
				filters = append(filters, f.String())
			}
			require.Equal(t, want.Filters, filters)
			cursor, since := "", ""
			if s.Request.Start.Cursor != nil {
				cursor = s.Request.Start.Cursor.String()
			}
			if !s.Request.Start.Since.IsZero() {
				since = s.Request.Start.Since.UTC().Format(time.RFC3339Nano)
			}
			require.Equal(t, want.Cursor, cursor)
			require.Equal(t, want.Foreign, s.Request.Start.ForeignCursor)
			require.Equal(t, want.Last, s.Request.Start.Last)
			require.Equal(t, want.Since, since)
			require.Equal(t, want.Conflate, s.Request.Conflate)
		})
	}
	t.Run("no limit", func(t *testing.T) {
		s, err := ParseSelection(url.Values{"topic": slices.Repeat([]string{"a"}, 20)}, "", 0, now)
		require.NoError(t, err)
		require.Len(t, s.Filters, 20)
	})
}
