package publish

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivium-hub/trivium/hub"
)

var asLines = header("Content-Type", "application/x-ndjson")

// lineKinds are what may stand in a line, and what is said of it.
var lineKinds = []struct {
	text      string
	status    int // 0: not refused
	parameter string
	event     string
}{
	{text: good, event: goods},
	{text: " \t" + good + "\r", event: goods},
	{text: good + strings.Repeat(" ", 5000), event: goods}, // longer than the reader's buffer
	{text: ""},
	{text: " \r"},
	{text: "{", status: 400, parameter: "body"},
	{text: "[" + good + "]", status: 400, parameter: "body"},
	{text: `{"topic":"orders.*","data":1}`, status: 400, parameter: "topic"},
	{text: `{"topic":"secret","data":1}`, status: 403},
	{text: `{"topic":"orders.a","data_base64":"` + strings.Repeat("AAAA", maxEventSize) + `"}`, status: 413, parameter: "data"},
	{text: strings.Repeat(" ", maxEventSize*maxEscape+bodyRoom) + good, status: 413, parameter: "data"},
}

// TestLines has any lines, in any pieces, end in what was promised: all that precedes the first
// refused line stands, and nothing after it.
func TestLines(t *testing.T) {
	f := newFixture(t, 0)
	rapid.Check(t, func(rt *rapid.T) {
		kinds := rapid.SliceOfN(rapid.IntRange(0, len(lineKinds)-1), 0, 12).Draw(rt, "kinds")
		var body strings.Builder
		var want []string
		status, line, parameter := http.StatusOK, 0, ""
		for i, k := range kinds {
			kind := lineKinds[k]
			body.WriteString(kind.text)
			if i < len(kinds)-1 || rapid.Bool().Draw(rt, "last newline") {
				body.WriteByte('\n')
			}
			switch {
			case status != http.StatusOK:
			case kind.status != 0:
				status, line, parameter = kind.status, i+1, kind.parameter
			case kind.event != "":
				want = append(want, kind.event)
			}
		}
		pieces := rapid.SampledFrom([]func(io.Reader) io.Reader{
			iotest.HalfReader, iotest.OneByteReader, iotest.DataErrReader,
		}).Draw(rt, "pieces")

		w, problem := f.do("POST", "/publish", asLines, pieces(strings.NewReader(body.String())))
		require.Equal(rt, status, w.Code, w.Body)
		require.Equal(rt, want, f.published(t))
		if status == http.StatusOK {
			require.Equal(rt, fmt.Sprintf(`{"id":"%s","count":%d}`+"\n", f.hub.Position(), len(want)), w.Body.String())
			return
		}
		require.Equal(rt, parameter, problem.Parameter)
		require.Equal(rt, line, *problem.Line)
		require.Equal(rt, len(want), *problem.Accepted)
	})
}

// TestLinesWithoutEngine has the engine go away: what it had taken stands, and the line that it
// did not take is named, blank ones counted, whether it was published with others or alone.
func TestLinesWithoutEngine(t *testing.T) {
	f := newFixture(t, 0)
	body := good + "\n\n" + good + "\n" + good + "\n"
	for _, c := range []struct {
		pieces         func(io.Reader) io.Reader
		publishes      int64
		line, accepted int
	}{
		{iotest.OneByteReader, 0, 1, 0},
		{iotest.OneByteReader, 1, 3, 1},
		{iotest.OneByteReader, 2, 4, 2},
		{iotest.DataErrReader, 0, 1, 0},
	} {
		f.engine.left.Store(c.publishes)
		w, problem := f.do("POST", "/publish", asLines, c.pieces(strings.NewReader(body)))
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.NotEmpty(t, w.Header().Get("Retry-After"))
		require.Equal(t, []int{c.line, c.accepted}, []int{*problem.Line, *problem.Accepted})
		require.Len(t, f.published(t), c.accepted)
	}
}

// TestLinesAtOnce writes to a real connection: each line is there before the next is sent, and a
// request that is cut leaves what it had sent whole.
func TestLinesAtOnce(t *testing.T) {
	f := newFixture(t, time.Minute)
	server := httptest.NewServer(f.handler)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	send := func(s string) {
		_, err := fmt.Fprintf(conn, "%x\r\n%s\r\n", len(s), s)
		require.NoError(t, err)
	}
	_, err = io.WriteString(conn, "POST /publish HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")
	require.NoError(t, err)
	send(good + "\n" + good[:10])
	<-f.bell
	require.Equal(t, []string{goods}, f.published(t))
	send(good[10:] + "\n" + good + "\n")
	var two []string
	for len(two) < 2 {
		<-f.bell
		two = append(two, f.published(t)...)
	}
	require.Equal(t, []string{goods, goods}, two)
	send(good) // which has no end yet
	require.NoError(t, conn.Close())
	server.Close() // waits for the request
	require.Empty(t, f.published(t))
}

// TestManyLines holds memory flat: the heap of a long stream's end is that of its beginning.
func TestManyLines(t *testing.T) {
	f := newFixture(t, 0)
	const blocks, perBlock = 200, 300
	block := strings.Repeat(good+"\n", perBlock)
	var heap []uint64
	readers := make([]io.Reader, 0, blocks)
	for i := range blocks {
		readers = append(readers, strings.NewReader(block), readFunc(func() {
			f.published(t)
			if i%50 == 49 {
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				heap = append(heap, m.HeapAlloc)
			}
		}))
	}
	w, _ := f.do("POST", "/publish", asLines, io.MultiReader(readers...))
	require.Equal(t, http.StatusOK, w.Code)
	require.Contains(t, w.Body.String(), fmt.Sprintf(`"count":%d}`, blocks*perBlock))
	require.Less(t, slices.Max(heap), heap[0]+1<<20)
}

// readFunc is a reader of nothing that is told when it is its turn.
type readFunc func()

func (f readFunc) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}

// TestRightWithdrawn: what waits for its turn is judged by what is granted then.
func TestRightWithdrawn(t *testing.T) {
	f := newFixture(t, 0)
	read, write := io.Pipe()
	go func() {
		_, _ = io.WriteString(write, good+"\n\n"+good+"\n")
		_, _ = io.WriteString(write, "") // it has been asked for more: the first two are published
		f.token.Revise(&hub.Grant{Subject: "tester", Publish: hub.NewFilterSet()})
		_, _ = io.WriteString(write, good+"\n"+good+"\n")
		_ = write.Close()
	}()
	_, problem := f.do("POST", "/publish", asLines, read)
	require.Equal(t, http.StatusForbidden, problem.Status)
	require.Equal(t, []int{4, 2}, []int{*problem.Line, *problem.Accepted})
	require.Len(t, f.published(t), 2)
	_, problem = f.do("POST", "/publish", asLines, iotest.ErrReader(io.ErrUnexpectedEOF))
	require.Equal(t, http.StatusForbidden, problem.Status, "before the body is looked at")
}

// TestBodies bounds what all of them hold at once.
func TestBodies(t *testing.T) {
	f := newFixture(t, 0)
	const size = 12 << 20
	slow := make([]*io.PipeWriter, maxBodies/size)
	answered := make(chan int, len(slow))
	for i := range slow {
		var read *io.PipeReader
		read, slow[i] = io.Pipe()
		go func() {
			w, _ := f.do("POST", "/publish", asJSON, read)
			answered <- w.Code
		}()
		_, err := slow[i].Write(make([]byte, size))
		require.NoError(t, err)
	}
	body := strings.Repeat(" ", size) + good
	_, problem := f.do("POST", "/publish", asJSON, strings.NewReader(body))
	require.Equal(t, http.StatusServiceUnavailable, problem.Status)
	w, _ := f.do("POST", "/publish", asJSON, strings.NewReader(good))
	require.Equal(t, http.StatusOK, w.Code, "a small one has room")
	for _, write := range slow {
		_ = write.Close()
		require.Equal(t, http.StatusBadRequest, <-answered)
	}
	w, _ = f.do("POST", "/publish", asJSON, strings.NewReader(body))
	require.Equal(t, http.StatusOK, w.Code)
}
