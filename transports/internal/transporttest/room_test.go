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

// If there is no memory for the encoding of a large event that is older than the in-memory log, the
// stream ends with an error before that event. A client that resumes receives the event when there
// is memory.
func TestLargeOldEventWithoutMemory(t *testing.T) {
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
			require.Contains(t, []string{"", place.ID}, refusal.ID, "the refusal contains no position other than that of the event before")
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

// random returns a JSON string that can hardly be compressed.
func random(size int) string {
	b := make([]byte, 0, size+2)
	b = append(b, '"')
	for range size {
		b = append(b, 'A'+byte(rand.N(26)))
	}
	return string(append(b, '"'))
}
