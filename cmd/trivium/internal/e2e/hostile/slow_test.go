package hostile

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/decode"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// slowAttacks use clients that read slowly or not at all.
var slowAttacks = []attack{
	{"400 event streams that stop reading within the same event of 1 MiB", stalledStreams},
	{"300 polls whose clients stop reading within a response of 1 MiB", stalledPolls},
	{"100 event streams that stop reading, each within a different event of 1 MiB", stalledApart},
}

// slowPatience is the read timeout of the slow clients. It is long, because they do not read during most of a test.
const slowPatience = 4 * hubtest.Patience

// slowClients is a hub with many slow clients and one other tenant, which is not slow.
type slowClients struct {
	f        *testbed
	p        *hubtest.Process
	before   int64 // resident bytes before the attack
	other    *exchange
	received int // number of events that the other tenant has received
}

// newSlowClients starts a hub and publishes large events, so that the buffers for them are
// allocated before the memory is measured.
func (f *testbed) newSlowClients(t *testing.T, args ...string) *slowClients {
	p := f.serve(t, hubtest.Binary(t, append(append(hubtest.AnyPorts, "--tokens", f.quietFile, "--write-timeout", "1h"), args...)...))
	p.Token = f.tokens["master"]
	c := &slowClients{f: f, p: p, other: f.start(t, request{hub: p, line: "GET /sse?topic=other.>", token: f.tokens["two"]})}
	for i := range 12 {
		c.publish(t, "other.large", large(i))
		c.hear(t, large(i))
	}
	c.before = p.Resident()
	return c
}

// large returns a JSON string of 1 MiB, which is different for each i.
func large(i int) string {
	return strings.Repeat(fmt.Sprintf("%016x", sha256.Sum256([]byte{byte(i)}))[:64], (hubtest.Mebibyte-64)/64)
}

func (c *slowClients) publish(t *testing.T, topic, data string) {
	t.Helper()
	x := c.f.do(t, request{hub: c.p, line: "POST /publish/" + topic, token: c.f.tokens["two"], body: quoted(data)})
	require.Equal(t, http.StatusOK, x.status, x.body)
}

func (c *slowClients) hear(t *testing.T, data string) {
	t.Helper()
	require.NoError(t, c.other.conn.SetDeadline(time.Now().Add(hubtest.Patience)))
	for {
		e, err := c.other.stream.Next()
		require.NoError(t, err)
		if e.Topic != "" {
			require.True(t, e.Data == quoted(data), "%.60s", e.Data)
			c.received++
			return
		}
	}
}

// measureGrowth publishes events as the other tenant, requires that it receives them, and returns the largest growth of
// the hub's memory during that time.
func (c *slowClients) measureGrowth(t *testing.T) (grown int64) {
	t.Helper()
	for i := range 50 {
		c.publish(t, "other.small", fmt.Sprint(i))
		c.hear(t, fmt.Sprint(i))
		grown = max(grown, c.p.Resident()-c.before)
	}
	return grown
}

// delivered waits until the hub has written the given number of events to the slow streams.
func (c *slowClients) delivered(t *testing.T, events int) {
	t.Helper()
	require.Eventually(t, func() bool {
		s := c.p.Stats()
		return int(s.Transports["sse"].Delivered+s.Transports["websocket"].Delivered) >= events+c.received
	}, hubtest.Patience, 10*time.Millisecond)
}

// stream opens a stream for a slow client, which begins to read it later.
func (c *slowClients) stream(t *testing.T, route, topic string) *exchange {
	x := c.f.start(t, request{hub: c.p, line: "GET " + route + "?topic=" + topic, token: c.f.tokens["one"]})
	require.Equal(t, http.StatusOK, x.status, x.body)
	require.NoError(t, x.conn.SetDeadline(time.Now().Add(slowPatience)))
	return x
}

// next reads an event and returns its data.
func (x *exchange) next() (data string, err error) {
	for {
		if x.stream != nil {
			e, err := x.stream.Next()
			if err != nil || e.Topic != "" {
				return e.Data, err
			}
			continue
		}
		m, _, err := x.message()
		if err != nil || m.Event != nil {
			if err == nil {
				data = string(m.Event.Data)
			}
			return data, err
		}
	}
}

// lastFrame caches the most recently decoded event of WebSocket clients. Several clients share it, so that a large event
// that all of them receive is decoded only once.
type lastFrame struct {
	mu      sync.Mutex
	payload []byte
	data    string
}

// next reads the next event from x and returns its data.
func (l *lastFrame) next(x *exchange) (data string, err error) {
	if x.stream != nil {
		return x.next()
	}
	opcode, payload, err := x.frame()
	if err != nil || opcode != opText {
		return "", fmt.Errorf("opcode %d, %w", opcode, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !bytes.Equal(payload, l.payload) {
		m, err := decode.DecodeMessage(payload)
		if err != nil || m.Event == nil {
			return "", fmt.Errorf("want an event, got the op %q: %w", m.Op, err)
		}
		l.payload, l.data = payload, string(m.Event.Data)
	}
	return l.data, nil
}

// parallel calls f for the numbers 0 to n-1, at most eight at a time, and returns the errors.
func parallel(n int, f func(i int) error) (errs []error) {
	var all sync.WaitGroup
	var mu sync.Mutex
	places := make(chan struct{}, 8)
	for i := range n {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			if err := f(i); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	all.Wait()
	return errs
}

// stalledStreams opens many streams, half of them WebSockets, and publishes a large event to all of
// them. It measures the hub's memory before the clients read the event.
func stalledStreams(t *testing.T, f *testbed) {
	const streams = 400
	c := f.newSlowClients(t)
	var slowClients []*exchange
	for i := range streams {
		slowClients = append(slowClients, c.stream(t, []string{"/sse", "/ws"}[i%2], "slow.>"))
	}
	idle := c.p.Resident() - c.before
	c.publish(t, "slow.large", large(100))
	c.delivered(t, streams)
	grown := c.measureGrowth(t)
	t.Logf("%d streams: the hub grew by %d MiB before the event and by %d MiB while it was sent; it holds %d bytes for slow connections", streams, idle>>20, grown>>20, c.p.Stats().Subscribed.SlowBytes)
	require.Less(t, grown, int64(40*hubtest.Mebibyte))
	c.publish(t, "slow.small", "after")
	wanted := []string{quoted(large(100)), quoted("after")}
	decoded := []*lastFrame{{}, {}}
	require.Empty(t, parallel(streams, func(i int) error {
		for at, want := range wanted {
			if data, err := decoded[at].next(slowClients[i]); err != nil || data != want {
				return fmt.Errorf("stream %d: %d bytes, %w", i, len(data), err)
			}
		}
		return nil
	}), "every client receives the whole event")
	require.Eventually(t, func() bool { return c.p.Stats().Subscribed.SlowBytes == 0 }, hubtest.Patience, 10*time.Millisecond)
}

func stalledPolls(t *testing.T, f *testbed) {
	const polls = 300
	c := f.newSlowClients(t)
	c.publish(t, "slow.large", large(100))
	var slowClients []*bufio.Reader
	for range polls {
		conn, err := net.Dial("tcp", c.p.HTTP)
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		require.NoError(t, conn.SetDeadline(time.Now().Add(slowPatience)))
		r := request{line: "GET /poll?topic=slow.large&last=1", host: c.p.HTTP, token: f.tokens["one"]}
		_, err = io.WriteString(conn, r.text())
		require.NoError(t, err)
		reader := bufio.NewReader(conn)
		_, err = reader.Peek(1)
		require.NoError(t, err)
		slowClients = append(slowClients, reader)
	}
	grown := c.measureGrowth(t)
	t.Logf("%d polls: %d MiB, %d bytes of the event held", polls, grown>>20, c.p.Stats().Subscribed.SlowBytes)
	require.Less(t, grown, int64(40*hubtest.Mebibyte))
	want, last := []byte(quoted(large(100))), new(lastAnswer)
	require.Empty(t, parallel(polls, func(i int) error {
		response, err := http.ReadResponse(slowClients[i], nil)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return err
		}
		answer, err := last.decode(body)
		if err == nil && (len(answer.Events) != 1 || !bytes.Equal(answer.Events[0].Data, want)) {
			err = fmt.Errorf("received %d bytes that differ from the event", len(body))
		}
		return err
	}), "every client receives the whole event")
}

// stalledApart opens streams whose clients stop reading, each within a different large event. Then it
// publishes so much that retention removes these events. The hub keeps a removed event in memory until the
// stream has received the rest of it, but limits the total size of these events. It must disconnect, and
// count, the streams whose events it does not keep because of this limit.
func stalledApart(t *testing.T, f *testbed) {
	const streams, share = 100, 16 * hubtest.Mebibyte
	c := f.newSlowClients(t, "--retain-bytes", "8MiB")
	var slowClients []*exchange
	for i := range streams {
		slowClients = append(slowClients, c.stream(t, "/sse", "slow.>"))
		c.publish(t, "slow.large", large(i))
		c.delivered(t, i+1)
	}
	grown, held := c.measureGrowth(t), c.p.Stats().Subscribed.SlowBytes
	t.Logf("%d streams, each within a different event: %d MiB, of which %d bytes are events", streams, grown>>20, held)
	require.Less(t, grown, int64(80*hubtest.Mebibyte))
	require.LessOrEqual(t, held, int64(share))
	cut := parallel(streams, func(i int) error {
		switch data, err := slowClients[i].next(); {
		case err != nil:
			slowClients[i].conn.Close()
			return err
		case data != quoted(large(i)):
			return fmt.Errorf("stream %d: received %d bytes that differ from the event", i, len(data))
		}
		slowClients[i].conn.Close()
		return nil
	})
	for _, err := range cut {
		require.Equal(t, io.ErrUnexpectedEOF, err)
	}
	require.GreaterOrEqual(t, streams-len(cut), 15, "streams whose event was kept receive the whole event")
	require.EqualValues(t, len(cut), c.p.Stats().Transports["sse"].Closed["no_room"])
	c.measureGrowth(t)
}
