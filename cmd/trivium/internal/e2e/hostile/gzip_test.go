package hostile

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

var gzipAttacks = []attack{
	{"compressed bodies that decompress to a thousand times their size", expandingBodies},
}

// gzipped compresses a string that consists of the parameter text and n<<20 copies of the parameter run.
func gzipped(t *testing.T, text, run string, n int) string {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	require.NoError(t, err)
	_, err = w.Write([]byte(text))
	require.NoError(t, err)
	piece := []byte(strings.Repeat(run, 1<<20))
	for range n {
		_, err = w.Write(piece)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.String()
}

// expandingBodies requires that compressed bodies use no more memory than uncompressed ones, and do
// not delay other publishers.
func expandingBodies(t *testing.T, f *testbed) {
	p := hubtest.Start(t, hubtest.Program(t, nil, hubtest.AnyPorts...))
	resident := func() float64 { return f.metric(t, p, "process_resident_memory_bytes") }
	before := resident()
	var all sync.WaitGroup
	for _, c := range []struct{ line, kind, text, run string }{
		{"POST /publish", "application/json", `[{"topic":"bomb","data":"`, "x"},
		{"POST /publish", "application/json", "", " "},
		{"POST /publish", "application/x-ndjson", `{"topic":"bomb","data":"`, "x"},
		{"POST /publish", "application/x-ndjson", "", "\n"},
		{"POST /publish/bomb", "application/octet-stream", "", "\x00"},
		{"POST /publish/bomb", "application/x-ndjson", "", " "},
	} {
		bomb := gzipped(t, c.text, c.run, 64)
		require.Less(t, len(bomb), 100<<10)
		for range 5 {
			all.Go(func() {
				x := f.do(t, request{hub: p, line: c.line, token: p.Token, header: []string{"Content-Encoding: gzip", "Content-Type: " + c.kind}, body: bomb})
				if x.status != http.StatusRequestEntityTooLarge {
					t.Errorf("%s %s: got %d %s", c.line, c.kind, x.status, x.body)
				}
			})
		}
	}
	for range 20 { // another client publishes at the same time
		x := f.do(t, request{hub: p, line: "POST /publish/other", token: p.Token, header: []string{"Content-Encoding: gzip"}, body: gzipped(t, "[1]", "", 0)})
		require.Equal(t, http.StatusOK, x.status, x.body)
	}
	all.Wait()
	more := resident() - before
	t.Logf("30 bodies of 64 MiB each took %.1f MiB", more/(1<<20))
	require.Less(t, more, float64(64<<20), "the hub uses less memory than the expanded size of one body")
}
