package publish

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/trivium-hub/trivium/transports/problems"
)

const (
	// gunzipMemory is the number of bytes that are reserved to decompress one body.
	gunzipMemory = 48 << 10
	// maxExpansion is the maximum ratio of a body's decompressed size to its compressed size. Deflate
	// can reach a ratio of 1000, with which a client could keep a processor busy at little cost.
	maxExpansion = 100
	// uncheckedExpansion is the number of bytes by which the decompressed size may exceed the size that
	// maxExpansion allows.
	uncheckedExpansion = 1 << 20
)

// gunzip decompresses a body. Its errors are from the source, or a *problems.Problem if the data is not
// valid gzip or exceeds maxExpansion.
type gunzip struct {
	source   *countedSource
	body     *timedBody // its method lineEnded is called for line ends; nil: the body does not consist of lines
	reader   *gzip.Reader
	expanded int64 // number of decompressed bytes
}

// newGunzip returns a gunzip that decompresses source. If the body consists of lines, paced is the
// timedBody from which source reads; otherwise it is nil.
func newGunzip(source io.Reader, paced *timedBody) *gunzip {
	return &gunzip{source: &countedSource{Reader: source}, body: paced}
}

// Read implements io.Reader.
func (g *gunzip) Read(p []byte) (n int, err error) {
	if g.reader == nil {
		if g.reader, err = gzip.NewReader(g.source); err != nil { // io.EOF if the body is empty
			g.reader = nil
			return 0, gzipError(err)
		}
	}
	n, err = g.reader.Read(p)
	if g.expanded += int64(n); g.expanded > uncheckedExpansion+maxExpansion*g.source.read {
		return 0, problems.TooLarge("body", fmt.Sprintf("decompressed, at most %d bytes plus %d times the compressed size are allowed", uncheckedExpansion, maxExpansion))
	}
	if end := bytes.LastIndexByte(p[:n], '\n'); g.body != nil && end >= 0 {
		g.body.lineEnded(int64(n - end - 1))
	}
	return n, gzipError(err)
}

// gzipError converts an error of the gzip format to a problem, and returns other errors unchanged.
func gzipError(err error) error {
	_, corrupt := errors.AsType[flate.CorruptInputError](err)
	if corrupt || errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF) {
		return problems.BadRequest("the body is not valid gzip, as Content-Encoding: gzip requires: it is corrupt or cut off")
	}
	return err
}

// countedSource counts the bytes that are read from it.
type countedSource struct {
	io.Reader
	read int64
}

func (s *countedSource) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.read += int64(n)
	return n, err
}

// bodyReader returns a reader of the decompressed body, which may have at most limit bytes (0: no
// limit). It also returns the size of the memory that the reader itself needs, in bytes.
func (h *Handler) bodyReader(w http.ResponseWriter, r *http.Request, enc contentEncoding, lines bool, limit int64) (body io.Reader, memory int) {
	paced := h.newTimedBody(w, r, lines && enc == identity)
	if enc == identity {
		if limit == 0 {
			return paced, 0
		}
		return http.MaxBytesReader(w, paced, limit), 0
	}
	var source io.Reader = paced
	if limit > 0 { // gzip makes incompressible data slightly longer
		source = http.MaxBytesReader(w, paced, limit+bodyOverhead)
	}
	if !lines {
		paced = nil
	}
	body = newGunzip(source, paced)
	if limit > 0 {
		body = http.MaxBytesReader(w, io.NopCloser(body), limit)
	}
	return body, gunzipMemory
}
