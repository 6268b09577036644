package publish

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// flushed compresses strings into one gzip stream, with a flush after each string. It returns the
// compressed bytes of each string, and then the bytes that end the stream.
func flushed(texts ...string) (parts [][]byte) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	for _, text := range texts {
		_, _ = io.WriteString(w, text)
		_ = w.Flush()
		parts = append(parts, bytes.Clone(b.Bytes()))
		b.Reset()
	}
	_ = w.Close()
	return append(parts, b.Bytes())
}

// Each line of a compressed stream is published as soon as it has arrived. The client may pause for any
// length of time between two lines, but not within a line.
func TestCompressedStream(t *testing.T) {
	const limit = 10 * time.Second
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, limit)
		client := f.serve(t)
		defer client.Close()
		chunk := func(part []byte) {
			_, err := fmt.Fprintf(client, "%x\r\n%s\r\n", len(part), part)
			require.NoError(t, err)
			synctest.Wait()
		}
		_, err := io.WriteString(client, "POST /publish HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\n"+
			"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n")
		require.NoError(t, err)
		parts := flushed(good+"\n", good+"\n"+good[:9], good[9:]+"\n", good[:9], good[9:])
		chunk(parts[0])
		require.Len(t, f.published(t), 1)
		time.Sleep(time.Hour)
		chunk(parts[1])
		require.Len(t, f.published(t), 1)
		time.Sleep(limit - time.Second)
		chunk(parts[2])
		require.Len(t, f.published(t), 1)
		time.Sleep(time.Hour)
		chunk(parts[3])
		begin := time.Now()
		response, err := http.ReadResponse(bufio.NewReader(client), nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusRequestTimeout, response.StatusCode)
		require.Equal(t, limit, time.Since(begin))
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.Contains(t, string(body), `"line":4,"accepted":3`)
	})
}

// A compressed body that arrives too slowly is refused. The timeout applies to the compressed bytes.
func TestCompressedByteByByte(t *testing.T) {
	const limit = 10 * time.Second
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, limit)
		client := f.serve(t)
		sent := make(chan struct{})
		defer func() { <-sent }()
		defer client.Close()
		begin := time.Now()
		go func() {
			defer close(sent)
			_, err := io.WriteString(client, "POST /publish/orders.a HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 1000\r\n\r\n")
			for _, b := range []byte(compress(string(bytes.Repeat([]byte("a"), 90)))) {
				if err == nil {
					time.Sleep(time.Second)
					_, err = client.Write([]byte{b})
				}
			}
		}()
		response, err := http.ReadResponse(bufio.NewReader(client), nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusRequestTimeout, response.StatusCode)
		require.Equal(t, limit, time.Since(begin))
	})
}

// The decompressed size of a body counts toward the memory budget. The memory is released at the
// end of the request.
func TestCompressedBodiesAreCounted(t *testing.T) {
	f := newFixture(t, 0)
	random := make([]byte, 4<<20)
	source := rand.NewChaCha8([32]byte{})
	_, _ = source.Read(random)
	parts := flushed(`"` + hex.EncodeToString(random)) // compresses to half the size
	require.Less(t, len(parts[0]), 5<<20)
	compressed := asJSON.Clone()
	compressed.Set("Content-Encoding", "gzip")
	stop := f.slowly(t, compressed, string(parts[0]))
	require.Eventually(t, func() bool { return f.intake.Stats().Taken >= 8<<20 }, time.Minute, time.Millisecond)
	require.LessOrEqual(t, f.intake.Stats().Taken, int64(17<<20))
	require.Equal(t, http.StatusBadRequest, stop(), "an incomplete body must be refused")
	require.Zero(t, f.intake.Stats().Taken)
}
