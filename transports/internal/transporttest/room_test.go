package transporttest

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jetstream"
)

// A large event is older than the in-memory log, and there is no memory for its encoding. Then the stream
// ends with an error before the event. A client that resumes later, when there is memory, receives the
// event.
func TestLargeOldEventWithoutMemory(t *testing.T) {
	t.Parallel()
	for _, path := range Paths() {
		if path.IsLongPoll() {
			continue // package longpoll has its own test
		}
		t.Run(path.Name, func(t *testing.T) {
			cfg := path.Config
			cfg.Hub = hub.Config{Retention: hub.Retention{Events: 1}}
			cfg.Engine = func() hub.Engine { return Must(jetstream.New(jetstream.Config{Store: t.TempDir()})) }
			s := Start(t, cfg)
			large := `"` + strings.Repeat("0123456789abcdef", 48<<10) + `"`
			if path.Config.Compression {
				large = random(768 << 10)
			}
			begin := s.Hub.Position().String()
			first, second := JSON("a", "0"), JSON("a", large)
			s.Publish(t, first, second, JSON("a", "2"))
			release := LeaveRoom(t, s.Registry.EncodingCache(), 0)

			next := func(c Client) Item {
				for {
					item, err := c.Next()
					require.NoError(t, err)
					if item.Kind != Open && item.Kind != Heartbeat {
						return item
					}
				}
			}
			c := path.New(s)
			require.NoError(t, c.Connect(Query("cursor", begin)))
			place := next(c)
			require.Equal(t, c.ExpectedData(first), place.Data)
			refusal := next(c)
			require.Equal(t, Error, refusal.Kind)
			require.Equal(t, 503, refusal.Problem.Status)
			require.Contains(t, []string{"", place.ID}, refusal.ID, "the error must contain no position, or that of the preceding event")
			c.Cut()
			require.EqualValues(t, 1, s.SSE.NoEncodingMemory.Load()+s.WebSocket.NoEncodingMemory.Load())
			require.EqualValues(t, 1, s.SSE.Delivered.Load()+s.WebSocket.Delivered.Load())

			release()
			c = path.New(s)
			require.NoError(t, c.Connect(Query("cursor", place.ID)))
			require.Equal(t, c.ExpectedData(second), next(c).Data)
			require.Eventually(t, func() bool { return s.Registry.EncodingCache().Bytes() == 0 }, Patience, time.Millisecond)
			c.Cut()
		})
	}
}

// random returns a JSON string of size random letters, which compresses badly.
func random(size int) string {
	b := make([]byte, 0, size+2)
	b = append(b, '"')
	for range size {
		b = append(b, 'A'+byte(rand.N(26)))
	}
	return string(append(b, '"'))
}
