package publish

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/problems"
)

// recorder is an engine that records the number of events of each publish.
type recorder struct {
	hub.Engine
	batches []int
}

func (r *recorder) Publish(ctx context.Context, events []*hub.Event) (hub.Cursor, error) {
	r.batches = append(r.batches, len(events))
	return r.Engine.Publish(ctx, events)
}

// Events that arrive during a publish wait and are then published together, up to the limits for the
// number of events per publish and for the memory of a stream.
func TestWaitingEventsArePublishedTogether(t *testing.T) {
	const first = 1 // number of events that are published immediately
	for name, c := range map[string]struct {
		size, events int
		batches      []int
	}{
		"few events":   {size: 100, events: 10, batches: []int{first, 9}},
		"many events":  {size: 100, events: 2*MaxEvents + 10, batches: []int{first, MaxEvents, MaxEvents, 9}},
		"large events": {size: maxQueued/2 - 10, events: 10, batches: []int{first, 3, 3, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				engine := &recorder{Engine: slowEngine{hub.NewMemory(), time.Second}}
				h, err := hub.New(hub.Config{Engine: engine})
				require.NoError(t, err)
				defer func() { require.NoError(t, h.Close()) }()
				q := newQueue(t.Context(), h, tt.NewToken(&auth.Grant{Publish: hub.NewFilterSet(hub.Everything)}), nil, nil)
				q.lastDuration = quickPublish
				for i := range c.events {
					require.NoError(t, q.add(&hub.Event{Topic: "a", Data: make([]byte, c.size), Encoding: hub.Binary}, i+1))
					if i < first {
						require.NoError(t, q.flush())
						synctest.Wait()
					}
				}
				_, err = q.finish()
				require.NoError(t, err)
				require.Equal(t, c.batches, engine.batches)
				require.Equal(t, hub.Receipt{Last: h.Position(), Count: c.events}, q.receipt)
			})
		})
	}
}

// If the engine fails while the hub waits for more lines, the client receives the answer immediately, not
// only after it has sent another line.
func TestEngineFailsWhileStreamWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, time.Hour)
		f.engine.delay = time.Second
		f.engine.left.Store(2)
		client := f.serve(t)
		begin := time.Now()
		send := func(lines int) {
			text := strings.Repeat(good+"\n", lines)
			_, err := fmt.Fprintf(client, "%x\r\n%s\r\n", len(text), text)
			require.NoError(t, err)
		}
		_, err := io.WriteString(client, "POST /publish HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")
		require.NoError(t, err)
		send(1) // the handler's goroutine publishes the first event
		time.Sleep(time.Second)
		for range 3 {
			time.Sleep(100 * time.Millisecond)
			send(2)
		}
		response, err := http.ReadResponse(bufio.NewReader(client), nil)
		require.NoError(t, err)
		require.Equal(t, 3100*time.Millisecond, time.Since(begin))
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
		require.NotEmpty(t, response.Header.Get("Retry-After"))
		var p problems.Problem
		require.NoError(t, p.UnmarshalJSON(body))
		require.Equal(t, []int{4, 3}, []int{*p.Line, *p.Accepted})
		require.Len(t, f.published(t), 3)
	})
}

// prefixEngine is an engine that stores only the first two events of each publish and then fails.
type prefixEngine struct{ hub.Engine }

func (e prefixEngine) PublishInOrder(ctx context.Context, events []*hub.Event) (hub.Cursor, error) {
	last, err := e.Publish(ctx, events[:2])
	if err != nil {
		return last, err
	}
	return last, &hub.PartialError{Stored: 2, Err: hub.ErrUnavailable}
}

// If the engine has stored only the first events of a publish, finish returns the line number of the
// first event that was not stored, and the receipt contains the number of stored events.
func TestPartlyStoredLines(t *testing.T) {
	h, err := hub.New(hub.Config{Engine: prefixEngine{hub.NewMemory()}})
	require.NoError(t, err)
	defer func() { require.NoError(t, h.Close()) }()
	q := newQueue(t.Context(), h, tt.NewToken(&auth.Grant{Publish: hub.NewFilterSet(hub.Everything)}), nil, func(error) {})
	for line := range 5 {
		require.NoError(t, q.add(&hub.Event{Topic: "a", Data: []byte("1")}, line+1))
	}
	line, err := q.finish()
	require.ErrorIs(t, err, hub.ErrUnavailable)
	require.Equal(t, 3, line)
	require.Equal(t, hub.Receipt{Last: h.Position(), Count: 2}, q.receipt)
	require.EqualValues(t, 2, h.Position().Seq)
	require.EqualValues(t, 3, h.Stats().Refused)
}
