package publish

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/intake"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
)

// slowly is a slow client: it sends the beginning of a body and then pauses. The returned function ends
// the body and returns the status of the answer.
func (f *fixture) slowly(t *testing.T, header http.Header, beginning string) (stop func() int) {
	read, write := io.Pipe()
	answered := make(chan int, 1)
	go func() {
		w, _ := f.do("POST", "/publish", header, read)
		_ = read.CloseWithError(io.ErrClosedPipe)
		answered <- w.Code
	}()
	_, _ = io.WriteString(write, beginning) // fails if the request is refused in the meantime
	return func() int {
		_ = write.Close()
		return <-answered
	}
}

// If a sender uses up its share of the receive memory, its further large bodies are refused. Small bodies
// and other senders are still accepted.
func TestSlowBodiesTakeOneShare(t *testing.T) {
	f := newFixture(t, 0)
	large := strings.Repeat(" ", 12<<20)
	var stops []func() int
	for range 2 {
		stops = append(stops, f.slowly(t, asJSON, large))
	}
	w, problem := f.do("POST", "/publish", asJSON, strings.NewReader(large+good))
	require.Equal(t, http.StatusServiceUnavailable, problem.Status)
	require.Contains(t, problem.Detail, "its share of the receive memory")
	require.NotEmpty(t, w.Header().Get("Retry-After"))
	require.Positive(t, f.intake.Stats().Refused["receiving_per_token"])
	for _, size := range []int{0, intake.SmallSize / 2, intake.SmallSize - 2*len(good)} {
		w, _ := f.do("POST", "/publish", asJSON, strings.NewReader(strings.Repeat(" ", size)+good))
		require.Equal(t, http.StatusOK, w.Code, "there must be memory for a body of %d bytes", size)
	}
	f.sender = "another"
	w, _ = f.do("POST", "/publish", asJSON, strings.NewReader(large+good))
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	for _, stop := range stops {
		require.Equal(t, http.StatusBadRequest, stop(), "a body that contains only white space must be refused")
	}
	require.Zero(t, f.intake.Stats().Taken)
}

// Memory is counted for the part of a body that has arrived, not for its announced length.
func TestAnnouncedLengthIsNotReserved(t *testing.T) {
	f := newFixture(t, 0)
	synctest.Test(t, func(t *testing.T) {
		read, write := io.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			r := &http.Request{ContentLength: 16 << 20, Body: read}
			held := f.intake.Open("a", 0)
			defer held.Close()
			h := &Handler{intake: f.intake}
			_, _ = h.readBody(nil, r.WithContext(context.Background()), identity, 16<<20, held)
		}()
		for _, c := range []struct{ sent, maxTaken int64 }{{100, 0}, {4000, 8 << 10}, {60 << 10, 128 << 10}, {1 << 20, 4 << 20}} {
			_, _ = write.Write(make([]byte, c.sent))
			synctest.Wait()
			require.LessOrEqual(t, f.intake.Stats().Taken, c.maxTaken)
		}
		_ = write.Close()
		<-done
	})
}

// If the budget has no memory for the queue of a stream, the stream continues with the memory for one
// line: it publishes each event before it reads the next line.
func TestQueueWithoutMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := hub.New(hub.Config{Engine: slowEngine{hub.NewMemory(), time.Second}})
		require.NoError(t, err)
		defer func() { require.NoError(t, h.Close()) }()
		budget := intake.New(1)
		other, held := budget.Open("a", 0), budget.Open("a", intake.SmallSize)
		require.NoError(t, other.Resize(32<<20))
		q := newQueue(t.Context(), h, tt.NewToken(&auth.Grant{Publish: hub.NewFilterSet(hub.Everything)}), held, nil)
		q.lastDuration = quickPublish
		for i := range 20 {
			require.NoError(t, q.add(&hub.Event{Topic: "a", Data: make([]byte, 100<<10), Encoding: hub.Binary}, i+1))
			require.Zero(t, q.waiting.size, "add must not return before the event is published")
		}
		_, err = q.finish()
		require.NoError(t, err)
		require.Equal(t, 20, q.receipt.Count)
		other.Close()
		for i := range 20 {
			require.NoError(t, q.add(&hub.Event{Topic: "a", Data: make([]byte, 100<<10), Encoding: hub.Binary}, i+1))
		}
		require.Positive(t, budget.Stats().Taken)
		_, err = q.finish()
		require.NoError(t, err)
		require.Equal(t, 40, q.receipt.Count)
		held.Close()
		require.Zero(t, budget.Stats().Taken)
	})
}

// A client may close its write side after the last line of a stream. All lines are then published, and the
// client receives the answer.
func TestHalfClosedStream(t *testing.T) {
	f := newFixture(t, 0)
	for range 100 {
		ctx, cancel := context.WithCancel(t.Context())
		read, write := io.Pipe()
		go func() {
			_, _ = fmt.Fprintln(write, good)
			cancel() // net/http does this when the body has ended and the client has closed its write side
			_ = write.Close()
		}()
		r, err := http.NewRequestWithContext(ctx, "POST", "/publish", read)
		require.NoError(t, err)
		r.Header = asLines
		w := httptest.NewRecorder()
		f.handler.ServeHTTP(w, r)
		require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	}
	require.Len(t, f.published(t), 100)
}

// A whole body or line has a time limit too, which applies even if each of its parts arrives in time.
func TestTimeLimitOfWholeBody(t *testing.T) {
	now := time.Now()
	b := &timedBody{timeout: 10 * time.Second, stretchLeft: 10 * time.Second, lines: true}
	left := func() time.Duration {
		if d := b.deadline(now); !d.IsZero() {
			return d.Sub(now)
		}
		return -1
	}
	for range 6 {
		require.Positive(t, left())
		b.count(make([]byte, stretchSize), 9*time.Second)
	}
	require.Equal(t, 6*time.Second, left())
	b.count(make([]byte, 1<<20), 5*time.Second)
	require.Equal(t, 10*time.Second, left(), "a larger body must have more time")
	b.count([]byte("\n "), time.Second)
	require.Equal(t, 10*time.Second, left())
	b.count([]byte("\n"), time.Second)
	require.EqualValues(t, -1, left(), "there must be no time limit between lines")
	b.count([]byte("x"), time.Hour)
	require.Equal(t, 10*time.Second, left(), "the pause before a line must not be counted")
}
