package publish

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/trivium-hub/trivium/transports/wire"
)

const (
	// gunzipMemory is what decompressing one body takes, in bytes.
	gunzipMemory = 48 << 10
	// maxExpansion bounds how many times its size a body may expand to, beyond the first MiB:
	// deflate reaches a thousand, which would let a client that sends little keep a core busy.
	maxExpansion = 100
	freeExpanded = 1 << 20 // bytes
)

// gunzip decompresses a body. Its errors are those of the body, and *wire.Problem for what is not
// gzip or expands too much.
type gunzip struct {
	source   *countedSource
	paced    *pacedBody // told where lines end; nil: the body has none
	reader   *gzip.Reader
	expanded int64
}

// newGunzip decompresses source. If paced is not nil, the body has lines, and paced is beneath source.
func newGunzip(source io.Reader, paced *pacedBody) *gunzip {
	return &gunzip{source: &countedSource{Reader: source}, paced: paced}
}

// Read implements io.Reader.
func (g *gunzip) Read(p []byte) (n int, err error) {
	if g.reader == nil {
		if g.reader, err = gzip.NewReader(g.source); err != nil { // io.EOF: there is nothing
			g.reader = nil
			return 0, gzipFault(err)
		}
	}
	n, err = g.reader.Read(p)
	if g.expanded += int64(n); g.expanded > freeExpanded+maxExpansion*g.source.read {
		return 0, wire.TooLarge("body", fmt.Sprintf("more than %d times the size of the compressed body", maxExpansion))
	}
	if end := bytes.LastIndexByte(p[:n], '\n'); g.paced != nil && end >= 0 {
		g.paced.lineEnded(int64(n - end - 1))
	}
	return n, gzipFault(err)
}

// gzipFault turns errors of the format into a problem.
func gzipFault(err error) error {
	_, corrupt := errors.AsType[flate.CorruptInputError](err)
	if corrupt || errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF) {
		return wire.BadRequest("the body is not what Content-Encoding: gzip says: it is corrupt or cut off")
	}
	return err
}

// countedSource counts what is read.
type countedSource struct {
	io.Reader
	read int64
}

func (s *countedSource) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.read += int64(n)
	return n, err
}

// reader returns a reader of the body after its Content-Encoding, of at most limit bytes (0: any
// number), and what the reader takes of memory beside what it reads.
func (h *Handler) reader(w http.ResponseWriter, r *http.Request, enc contentEncoding, lines bool, limit int64) (body io.Reader, memory int) {
	paced := h.pace(w, r, lines && enc == identity)
	if enc == identity {
		if limit == 0 {
			return paced, 0
		}
		return http.MaxBytesReader(w, paced, limit), 0
	}
	var source io.Reader = paced
	if limit > 0 { // what does not compress gets a little longer
		source = http.MaxBytesReader(w, paced, limit+bodyRoom)
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
