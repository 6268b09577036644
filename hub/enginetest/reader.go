package enginetest

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
)

var wideLimit = hub.ReadLimit{Events: math.MaxInt, Bytes: math.MaxInt}

// Set parses the filters and returns their set.
func Set(t *testing.T, filters ...string) hub.FilterSet {
	t.Helper()
	parsed := make([]hub.Filter, len(filters))
	for i, text := range filters {
		f, err := hub.ParseFilter(text)
		require.NoError(t, err)
		parsed[i] = f
	}
	return hub.NewFilterSet(parsed...)
}

// Reader reads a subscription as a connection writer does.
type Reader struct {
	t      *testing.T
	sub    *hub.Subscription
	wakeup hub.Wakeup

	Events []*hub.Event
	Gaps   []hub.Gap
}

// Subscribe starts a subscription, which is closed when the test ends.
func Subscribe(t *testing.T, h *hub.Hub, r hub.Request) *Reader {
	t.Helper()
	wakeup := hub.NewWakeup()
	s, err := h.Subscribe(r, wakeup)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return &Reader{t: t, sub: s, wakeup: wakeup}
}

// Reached reads the available events, and reports whether everything up to seq has been read.
func (r *Reader) Reached(seq uint64) bool {
	for {
		b := r.sub.Read(wideLimit)
		if b.Gap != nil {
			r.Gaps = append(r.Gaps, *b.Gap)
		}
		if r.Events = append(r.Events, b.Events...); !b.More {
			return r.sub.Reached(seq)
		}
	}
}

// Until blocks until everything up to seq has been read.
func (r *Reader) Until(seq uint64) {
	r.t.Helper()
	timeout := time.NewTimer(Patience)
	defer timeout.Stop()
	for !r.Reached(seq) {
		select {
		case <-r.wakeup:
		case <-time.After(10 * time.Millisecond): // events that do not match move the position without waking the reader
		case <-timeout.C:
			require.FailNow(r.t, "not all events were read", "position %v, want seq %d", r.sub.Position(), seq)
		}
	}
}
