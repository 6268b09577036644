package hub

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func TestEventsYieldsMatchingEventsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := New(Config{})
		require.NoError(t, err)
		ctx, cancel := context.WithCancelCause(t.Context())
		enough := errors.New("enough")
		var got []string
		var last error
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for e, err := range h.Events(ctx, "orders.*", "orders.eu") {
				if last = err; err == nil {
					got = append(got, string(e.Data))
				}
			}
		}()
		synctest.Wait() // blocks until the iterator waits for events
		for i := range 3 {
			publishJSON(t, h, "orders.eu", strconv.Itoa(i))
			publishJSON(t, h, "stocks", `"other"`)
		}
		synctest.Wait()
		cancel(enough)
		<-ended
		require.Equal(t, []string{"0", "1", "2"}, got)
		require.ErrorIs(t, last, enough)
		require.Zero(t, h.Stats().Subscriptions)
		require.NoError(t, h.Close())
	})
}

func TestEventsEndsWithTheHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := New(Config{})
		require.NoError(t, err)
		var last error
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for _, err := range h.Events(t.Context()) {
				last = err
			}
		}()
		synctest.Wait()
		require.NoError(t, h.Close())
		<-ended
		require.ErrorIs(t, last, ErrClosed)
	})
}

// If the loop over an iterator falls behind retention, the iterator yields a GapError and then the retained
// events.
func TestEventsReportsAGapAndContinues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := New(Config{Retention: Retention{Events: 4}})
		require.NoError(t, err)
		defer h.Close()
		proceed := make(chan struct{})
		var got []string
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for e, err := range h.Events(t.Context()) {
				var gap *GapError
				switch {
				case errors.As(err, &gap):
					require.Equal(t, GapExpired, gap.Gap.Reason)
					require.True(t, gap.Gap.Certain)
					got = append(got, "gap")
					continue
				case err != nil:
					t.Error(err)
					return
				}
				got = append(got, string(e.Data))
				if string(e.Data) == "9" {
					return
				}
				if string(e.Data) == "0" {
					<-proceed
				}
			}
		}()
		synctest.Wait()
		for i := range 10 {
			publishJSON(t, h, "a", strconv.Itoa(i))
			synctest.Wait()
		}
		close(proceed)
		<-ended
		require.Equal(t, []string{"0", "gap", "6", "7", "8", "9"}, got)
	})
}

func TestEventsRejectsAnInvalidFilter(t *testing.T) {
	h, err := New(Config{})
	require.NoError(t, err)
	defer h.Close()
	for e, err := range h.Events(t.Context(), "a..b") {
		require.Nil(t, e)
		var invalid *InvalidError
		require.ErrorAs(t, err, &invalid)
		return
	}
	t.Fatal("Events yielded no error for an invalid filter")
}

func publishJSON(t *testing.T, h *Hub, topic, data string) {
	t.Helper()
	_, err := h.Publish(t.Context(), &Event{Topic: topic, Data: []byte(data)})
	require.NoError(t, err)
}
