package hubs

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/decode"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/hub"
)

// Twenty subscribers do not read while 80 MB are published. Another subscriber is not delayed, and the
// hub's memory stays bounded. A slow subscriber that begins to read again receives a gap for the
// removed events and then all retained events.
func TestSlowReadersDelayNobody(t *testing.T) {
	if testing.Short() {
		t.Skip("publishing 80 MB takes a long time")
	}
	const retained, events, size = 2000, 20_000, 4000
	p := hubtest.Start(t, hubtest.Binary(t, append(hubtest.AnyPorts, "--auth", "none", "--retain-events", strconv.Itoa(retained))...))
	var stalled []net.Conn
	for i := range 20 {
		conn, err := net.Dial("tcp", p.HTTP)
		require.NoError(t, err)
		defer conn.Close()
		stalled = append(stalled, conn)
		request := "GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n"
		if i%2 == 1 {
			request = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
				"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
		}
		_, err = io.WriteString(conn, request)
		require.NoError(t, err)
	}
	reader := p.SSE("")
	require.Eventually(t, func() bool { return p.Stats().Subscribed.Subscriptions == 21 }, hubtest.Patience, 10*time.Millisecond)
	before := p.Resident()
	var read atomic.Int64
	go func() {
		for n := 0; n < events; {
			e, err := reader.Next()
			switch {
			case e.Type == "trivium.heartbeat":
				continue
			case err != nil || e.Topic != "t" || !strings.HasPrefix(e.Data, strconv.Itoa(n)+" "):
				return
			}
			n++
			read.Store(int64(n))
		}
	}()
	filling := strings.Repeat("x", size)
	// The test publishes in batches, so that the fast reader can keep up on a machine with two
	// cores.
	for i := 0; i < events; i += retained / 2 {
		p.PublishLines(retained/2, func(j int) string {
			return fmt.Sprintf(`{"topic":"t","data":"%d %s","text":true}`, i+j, filling)
		})
		require.Eventually(t, func() bool { return read.Load() == int64(i+retained/2) }, hubtest.Patience, time.Millisecond)
	}
	require.Less(t, p.Resident()-before, int64(64*hubtest.Mebibyte))

	require.NoError(t, stalled[0].SetDeadline(time.Now().Add(hubtest.Patience)))
	response, err := http.ReadResponse(bufio.NewReader(stalled[0]), nil)
	require.NoError(t, err)
	stream := decode.NewSSEDecoder(response.Body)
	var gap *hub.Gap
	last, after := -1, 0
	for last < events-1 {
		e, err := stream.Next()
		require.NoError(t, err)
		switch e.Type {
		case "trivium.gap":
			after = 0
			gap, err = decode.DecodeGap([]byte(e.Data))
			require.NoError(t, err)
		case "":
			number, _, _ := strings.Cut(e.Data, " ")
			n, err := strconv.Atoi(number)
			require.NoError(t, err)
			if gap == nil {
				require.Equal(t, last+1, n)
			} else {
				after++
			}
			last = n
		}
	}
	require.NotNil(t, gap)
	require.True(t, gap.Certain)
	require.Equal(t, retained, after)
}

// The hub's memory does not grow while a million events, and events on 500,000 different topics, are published.
func TestMemoryStaysFlat(t *testing.T) {
	if testing.Short() {
		t.Skip("a million events take a long time")
	}
	p := hubtest.Start(t, hubtest.Binary(t, append(hubtest.AnyPorts, "--auth", "none", "--retain-events", "1000", "--gap-topics", "1000")...))
	p.PublishLines(100_000, func(i int) string { return fmt.Sprintf(`{"topic":"numbers","data":%d}`, i) })
	warm := p.Resident()
	p.PublishLines(1_000_000, func(i int) string { return fmt.Sprintf(`{"topic":"numbers","data":%d}`, i) })
	require.Less(t, p.Resident()-warm, int64(16*hubtest.Mebibyte), "growth of the memory with a million events")
	p.PublishLines(500_000, func(i int) string { return fmt.Sprintf(`{"topic":"come.and.go.%d","data":%d}`, i, i) })
	require.Less(t, p.Resident()-warm, int64(16*hubtest.Mebibyte), "growth of the memory with 500,000 topics")
	s := p.Stats()
	require.Equal(t, 1000, s.Events.RetainedTopics)
	require.Equal(t, 1000, s.Events.GapTopics)
}
