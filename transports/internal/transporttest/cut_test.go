package transporttest

import (
	"bytes"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
)

// history returns the events that TestCutAfterEveryByte publishes: short events, and some that are too
// large for a single write.
func history() []*hub.Event {
	var events []*hub.Event
	for i := range 30 {
		switch {
		case i%10 == 7:
			events = append(events, JSON("big", bulk(i)))
		case i%3 == 0:
			events = append(events, &hub.Event{Topic: "text", Type: "note", Encoding: hub.Text, Data: []byte("line\r\nof " + strconv.Itoa(i))})
		default:
			events = append(events, JSON("a."+strconv.Itoa(i), `{"n": `+strconv.Itoa(i)+`}`))
		}
	}
	return events
}

// TestCutAfterEveryByte closes a connection after n received bytes, for every n or for a sample, see
// cuts. The client must then resume over another path without losing or repeating an event.
func TestCutAfterEveryByte(t *testing.T) {
	t.Parallel()
	s := Start(t, Config{Heartbeat: 200 * time.Millisecond})
	events := history()
	s.Publish(t, events...)
	start := hub.Cursor{Epoch: events[0].ID.Epoch + 1}.String() // of another epoch, so the stream starts with a gap
	paths := make(map[string]Path)
	for _, r := range Paths() {
		paths[r.Name] = r
	}
	names := []string{"sse", "websocket", "poll"}
	for i, name := range names {
		others := []Path{paths[names[(i+1)%3]], paths[names[(i+2)%3]]}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, n := range cuts(record(t, s, name, start)) {
				resumeOn := others
				if os.Getenv("TRIVIUM_LONG") == "" {
					resumeOn = others[i%2 : i%2+1]
				}
				had, cursor := cutAfter(t, s, paths[name], start, n)
				for _, r := range resumeOn {
					requireWhole(t, s, had, cursor, r, events, n)
				}
			}
		})
	}
}

// cutAfter connects over path r and closes the connection after n received bytes. It returns the items
// that the client has received, and the position to resume from.
func cutAfter(t *testing.T, s *Server, r Path, start string, n int64) (had []Item, cursor string) {
	c := r.New(s)
	defer c.Cut()
	ask := Query("cursor", start, "max", "7")
	ask.CutAfter = n
	cursor = start
	if c.Connect(ask) != nil {
		return nil, cursor
	}
	for newest := s.Hub.Position().String(); cursor != newest; {
		item, err := c.Next()
		if err != nil {
			return had, cursor
		}
		if item.ID != "" {
			cursor = item.ID
		}
		if !hasOnlyPosition(item) {
			had = append(had, comparableItem(c, item))
		}
	}
	return had, cursor
}

// comparableItem returns an item in a form that does not depend on the path: SSE replaces line ends in
// text, and comparableItem does the same for the other transports.
func comparableItem(c Client, item Item) Item {
	if _, ok := c.(*sseClient); !ok && item.Topic == "text" {
		item.Data = lineEnds.Replace(item.Data)
	}
	return item
}

// requireWhole connects over path r and resumes at the given cursor. The items that were received before
// (parameter had) and after the resume must together be one gap, followed by each event exactly once and
// in order.
func requireWhole(t *testing.T, s *Server, had []Item, cursor string, r Path, events []*hub.Event, n int64) {
	t.Helper()
	c := r.New(s)
	defer c.Cut()
	all := slices.Clone(had)
	if newest := events[len(events)-1].ID; cursor != newest.String() {
		require.NoError(t, c.Connect(Query("cursor", cursor)))
		for _, item := range readTo(t, c, newest) {
			all = append(all, comparableItem(c, item))
		}
	}
	require.Len(t, all, 1+len(events), "number of items if the connection is closed after %d bytes", n)
	requireGap(t, all[0], hub.GapEpoch, false)
	for i, e := range events {
		want := Item{Kind: Event, ID: e.ID.String(), Topic: e.Topic, Type: e.Type, Data: lineEnds.Replace(string(e.Data))}
		require.Equal(t, want, all[1+i], "item %d if the connection is closed after %d bytes", 1+i, n)
	}
}

// record returns the bytes that the server sends to a client that resumes at the position start. It
// appends bytes with the value zero, because other clients may receive slightly more bytes.
func record(t *testing.T, s *Server, name, start string) []byte {
	path := map[string]string{"sse": "/sse", "websocket": "/ws", "poll": "/poll"}[name]
	conn, err := net.Dial("tcp", s.Addr)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(Patience)))
	upgrade := ""
	if name == "websocket" {
		upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	}
	_, err = io.WriteString(conn, "GET "+path+"?cursor="+start+" HTTP/1.1\r\nHost: a\r\n"+upgrade+"\r\n")
	require.NoError(t, err)
	var seen bytes.Buffer
	newest := s.Hub.Position().String()
	for buffer := make([]byte, 1<<12); !strings.Contains(seen.String(), newest); {
		n, err := conn.Read(buffer)
		require.NoError(t, err)
		seen.Write(buffer[:n])
	}
	// The last read may not contain the whole newest event, and a client that polls with max=7 receives
	// more bytes because its answers are smaller. Therefore 2 KiB are added.
	return append(seen.Bytes(), make([]byte, 2<<10)...)
}

// cuts returns the numbers of bytes after which the test closes the connection: the positions next to
// each possible end of a message, and further positions at a fixed distance from each other.
func cuts(stream []byte) []int64 {
	var all []int64
	step := 1
	if os.Getenv("TRIVIUM_LONG") == "" {
		step = max(7, len(stream)/400)
	}
	for n := 1; n <= len(stream); n++ {
		border := false
		for _, near := range []int{n - 1, n, n + 1} {
			before := stream[:min(near, len(stream))]
			for _, end := range []string{"\r\n", "\n\n", "\x81", "}"} {
				border = border || bytes.HasSuffix(before, []byte(end))
			}
		}
		if border || n%step == 0 {
			all = append(all, int64(n))
		}
	}
	return all
}
