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
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
)

var asLines = header("Content-Type", "application/x-ndjson")

// lineKinds contains different lines of a stream and their expected results.
var lineKinds = []struct {
	text      string
	status    int    // 0: the line is accepted
	parameter string // expected parameter of the problem
	event     string // expected event; "": none
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
	{text: strings.Repeat(" ", maxEventSize*maxEscape+bodyOverhead) + good, status: 413, parameter: "data"},
}

// All lines before the first refused line are published, and no lines after it. This holds for reads of
// any size, and for quick, slow and failing engines.
func TestLines(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, 0)
			f.engine.delay = delay
			rapid.Check(timeless{t}, f.checkLines)
		})
	}
}

// timeless hides the test's deadline from package rapid, because the deadline is a real time, whereas the
// test runs on a fake clock.
type timeless struct{ *testing.T }

func (f *fixture) checkLines(t *rapid.T) {
	const extra = 20 // number of additional valid lines
	kinds := rapid.SliceOfN(rapid.IntRange(-extra, len(lineKinds)-1), 0, 20).Draw(t, "kinds")
	var body strings.Builder
	var want []string
	var lines []int // line numbers of the events in want
	status, line, parameter := http.StatusOK, 0, ""
	for i, k := range kinds {
		kind := lineKinds[max(k, 0)]
		body.WriteString(kind.text)
		if i < len(kinds)-1 || rapid.Bool().Draw(t, "last newline") {
			body.WriteByte('\n')
		}
		switch {
		case status != http.StatusOK:
		case kind.status != 0:
			status, line, parameter = kind.status, i+1, kind.parameter
		case kind.event != "":
			want, lines = append(want, kind.event), append(lines, i+1)
		}
	}
	pieces := rapid.SampledFrom([]func(io.Reader) io.Reader{
		iotest.HalfReader, iotest.OneByteReader, iotest.DataErrReader,
	}).Draw(t, "pieces")
	f.engine.left.Store(rapid.SampledFrom([]int64{0, 1, 2, 1000}).Draw(t, "publishes until it is unavailable"))

	w, problem := f.do("POST", "/publish", asLines, pieces(strings.NewReader(body.String())))
	if w.Code == http.StatusServiceUnavailable {
		status, parameter = w.Code, ""
		require.Negative(t, f.engine.left.Load())
		require.Less(t, *problem.Accepted, len(want))
		line, want = lines[*problem.Accepted], want[:*problem.Accepted:*problem.Accepted]
	}
	require.Equal(t, status, w.Code, w.Body)
	require.Equal(t, strings.Join(want, "\n"), strings.Join(f.published(t), "\n"))
	if status == http.StatusOK {
		require.Equal(t, fmt.Sprintf(`{"id":"%s","count":%d}`+"\n", f.hub.Position(), len(want)), w.Body.String())
		return
	}
	require.Equal(t, parameter, problem.Parameter)
	require.Equal(t, line, *problem.Line)
	require.Equal(t, len(want), *problem.Accepted)
}

// If the engine fails, the events that it has accepted stay published. The answer contains the number of
// the first line that was not accepted. Line numbers also count blank lines.
func TestLinesWithoutEngine(t *testing.T) { synctest.Test(t, testLinesWithoutEngine) }

func testLinesWithoutEngine(t *testing.T) {
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

// Each line that arrives over a real connection is published without waiting for the next line. If the
// connection is lost, all complete lines stay published.
func TestEachLineIsPublishedAtOnce(t *testing.T) {
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
	<-f.wakeup
	require.Equal(t, []string{goods}, f.published(t))
	send(good[10:] + "\n" + good + "\n")
	var two []string
	for len(two) < 2 {
		<-f.wakeup
		two = append(two, f.published(t)...)
	}
	require.Equal(t, []string{goods, goods}, two)
	send(good) // a line without its line end
	require.NoError(t, conn.Close())
	server.Close() // waits until the request has ended
	require.Empty(t, f.published(t))
}

// The heap does not grow during a long stream.
func TestLongStreamUsesConstantMemory(t *testing.T) {
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
	require.Less(t, slices.Max(heap), heap[0]+4<<20, "the heap must not grow with the stream, which has more than 20 MiB of events; on a slow machine, up to 4 MiB may be queued")
}

// readFunc is a reader without data, whose Read method calls the function.
type readFunc func()

func (f readFunc) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}

// Queued lines are authorized when they are published, not when they arrive.
func TestRightWithdrawn(t *testing.T) { synctest.Test(t, testRightWithdrawn) }

func testRightWithdrawn(t *testing.T) {
	f := newFixture(t, 0)
	read, write := io.Pipe()
	go func() {
		_, _ = io.WriteString(write, good+"\n\n"+good+"\n")
		_, _ = io.WriteString(write, "") // returns when the reader requests more input; the first two events are then published
		f.token.SetGrant(&auth.Grant{Subject: "tester", Publish: hub.NewFilterSet()})
		_, _ = io.WriteString(write, good+"\n"+good+"\n")
		_ = write.Close()
	}()
	_, problem := f.do("POST", "/publish", asLines, read)
	require.Equal(t, http.StatusForbidden, problem.Status)
	require.Equal(t, []int{4, 2}, []int{*problem.Line, *problem.Accepted})
	require.Len(t, f.published(t), 2)
	_, problem = f.do("POST", "/publish", asLines, iotest.ErrReader(io.ErrUnexpectedEOF))
	require.Equal(t, http.StatusForbidden, problem.Status, "a request without any right to publish must be refused before its body is read")
}
