package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"

	"github.com/stretchr/testify/require"
)

const mebibyte = 1 << 20

// lines publishes n envelopes as NDJSON in one request.
func (p *process) lines(n int, line func(i int) string) {
	p.t.Helper()
	reader, writer := io.Pipe()
	go func() {
		w := bufio.NewWriterSize(writer, 64<<10)
		for i := range n {
			fmt.Fprintln(w, line(i))
		}
		w.Flush()
		writer.Close()
	}()
	r, err := http.NewRequest(http.MethodPost, "http://"+p.http+"/publish", reader)
	require.NoError(p.t, err)
	r.Header.Set("Content-Type", "application/x-ndjson")
	response, err := p.client.Do(r)
	require.NoError(p.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(p.t, err)
	require.Equal(p.t, http.StatusOK, response.StatusCode, string(text))
	require.Contains(p.t, string(text), fmt.Sprintf(`"count":%d}`, n))
}
