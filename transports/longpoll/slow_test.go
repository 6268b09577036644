package longpoll_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jetstream"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

const mebibyte = 1 << 20

// longWait is the timeout for each result that a test waits for. It is long enough for a busy machine.
const longWait = 3 * time.Minute

// stall sends polls from clients that read only the beginning of the answer. It returns when the hub has
// begun to write every answer.
func stall(t *testing.T, s *tt.Server, polls int, query string) (readers []*bufio.Reader) {
	for range polls {
		c, err := s.Dial(tt.Request{Slow: true})
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
		require.NoError(t, c.SetDeadline(time.Now().Add(longWait)))
		_, err = io.WriteString(c, "GET /poll?"+query+" HTTP/1.1\r\nHost: a\r\n\r\n")
		require.NoError(t, err)
		r := bufio.NewReader(c)
		_, err = r.Peek(1)
		require.NoError(t, err)
		readers = append(readers, r)
	}
	return readers
}

// answerOf reads a poll answer. It requires that the status is 200.
func answerOf(t *testing.T, r *bufio.Reader) wire.PollAnswer {
	response, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.EqualValues(t, len(body), response.ContentLength)
	answer, err := wire.DecodePollAnswer(body)
	require.NoError(t, err)
	return answer
}

// filling returns a JSON string that begins with the number i. size is its length, in bytes.
func filling(i, size int) string {
	s := fmt.Sprintf("%d ", i)
	return `"` + s + strings.Repeat("a", size-len(s)-2) + `"`
}

// The memory that the hub needs for a client that reads slowly does not depend on the size of the answer.
// Each client receives the whole answer.
func TestSlowPollsShareEvents(t *testing.T) {
	const polls = 24
	for name, row := range map[string]struct {
		events, size int
		full         bool // whether the cache has no memory for encodings
		want         int  // expected number of events per answer
	}{
		"one event":                       {events: 1, size: mebibyte, want: 1},
		"one event, cache full":           {events: 1, size: mebibyte, full: true, want: 1},
		"large events":                    {events: 4, size: 200 << 10, want: 4},
		"events, cache full":              {events: 1000, size: 900, full: true, want: 60},
		"many small events":               {events: 1000, size: 900, want: 1000},
		"a small event before large ones": {events: 3, size: 300 << 10, want: 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := tt.Start(t, tt.Config{WriteTimeout: longWait})
			if row.full {
				tt.LeaveRoom(t, s.Registry.EncodingCache(), 0)
			}
			held := s.Registry.EncodingCache().Bytes()
			for i := range row.events {
				size := row.size
				if name == "a small event before large ones" && i == 0 {
					size = 10
				}
				s.Publish(t, tt.JSON("a", filling(i, size)))
			}
			query := fmt.Sprintf("last=%d&max=1000&wait=0", row.events)
			stall(t, s, 1, query) // creates the encodings that are shared
			before := tt.Heap()
			readers := stall(t, s, polls, query)
			grown := int64(tt.Heap()) - int64(before)
			t.Logf("%d polls of %d bytes: %d KiB of heap each", polls, row.events*row.size, grown>>10/polls)
			require.Less(t, grown, int64(polls*(150<<10)))
			require.LessOrEqual(t, s.Registry.EncodingCache().Bytes()-held, int64(2*mebibyte))
			for _, r := range readers {
				answer := answerOf(t, r)
				if n := len(answer.Events); row.want == 60 {
					require.InDelta(t, row.want, n, 10, "the answer must contain about 64 KiB of events")
				} else {
					require.Len(t, answer.Events, row.want)
				}
				for i, e := range answer.Events {
					size := row.size
					if name == "a small event before large ones" && i == 0 {
						size = 10
					}
					require.Equal(t, filling(i, size), string(e.Data))
				}
				require.Equal(t, answer.Events[len(answer.Events)-1].ID.String(), answer.Cursor)
			}
		})
	}
}

// Retention removes an event while clients read it. If the cache holds the event's encoding, the clients
// receive the whole event. If the cache had no memory for the encoding, the hub closes the connections
// before the answers are complete, and counts them in NoEncodingMemory.
func TestRemovedWithinAnAnswer(t *testing.T) {
	for name, full := range map[string]bool{"encoding held": false, "no memory": true} {
		t.Run(name, func(t *testing.T) {
			s := tt.Start(t, tt.Config{WriteTimeout: longWait, Hub: hub.Config{Retention: hub.Retention{Events: 2}}})
			if full {
				tt.LeaveRoom(t, s.Registry.EncodingCache(), 0)
			}
			s.Publish(t, tt.JSON("a", filling(0, mebibyte)))
			readers := stall(t, s, 4, "last=1")
			for range 3 {
				s.Publish(t, tt.JSON("a", "1"))
			}
			for _, r := range readers {
				if !full {
					require.Equal(t, filling(0, mebibyte), string(answerOf(t, r).Events[0].Data))
					continue
				}
				response, err := http.ReadResponse(r, nil)
				require.NoError(t, err)
				_, err = io.ReadAll(response.Body)
				require.Equal(t, io.ErrUnexpectedEOF, err)
			}
			if full {
				require.EqualValues(t, len(readers), s.Poll.NoEncodingMemory.Load())
			}
		})
	}
}

// A large event is older than the in-memory log, and the cache has no memory for its encoding. Then the
// hub answers 503 with Retry-After instead of beginning an answer that it could not finish. A client
// that polls again when there is memory receives the event.
func TestLargeOldEventWithoutMemory(t *testing.T) {
	s := tt.Start(t, tt.Config{WriteTimeout: longWait, Hub: hub.Config{Retention: hub.Retention{Events: 2}}, Engine: func() hub.Engine {
		return tt.Must(jetstream.New(jetstream.Config{Store: t.TempDir()}))
	}})
	begin := s.Hub.Position().String()
	s.Publish(t, tt.JSON("a", "0"), tt.JSON("a", filling(1, mebibyte-2)), tt.JSON("a", "2"), tt.JSON("a", "3"))
	release := tt.LeaveRoom(t, s.Registry.EncodingCache(), 0)
	_, first := get(t, s, "cursor="+begin)
	require.Len(t, first.Events, 1)
	response, _ := get(t, s, "cursor="+first.Cursor)
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	require.NotEmpty(t, response.Header.Get("Retry-After"))
	require.EqualValues(t, 1, s.Poll.NoEncodingMemory.Load())

	release()
	_, second := get(t, s, "cursor="+first.Cursor)
	require.Equal(t, filling(1, mebibyte-2), string(second.Events[0].Data))
	require.Zero(t, s.Registry.EncodingCache().Bytes())
}
