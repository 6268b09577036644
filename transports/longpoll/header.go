package longpoll

import (
	"bufio"
	"bytes"
	"net/http"
	"net/textproto"
	"slices"
)

// baseHeader is the part of a header that is common to many answers, such as the lines that a
// middleware has set. Connections with equal lines share it. It is immutable.
type baseHeader struct {
	lines  string
	fields http.Header // parsed from lines
	closes bool        // the answer ends the connection
}

// ownHeaders are the header lines that each answer sets for itself.
var ownHeaders = map[string]bool{"Content-Type": true, "Cache-Control": true, "Content-Length": true, "Date": true}

// maxInterned is the maximum number of baseHeaders that are shared among connections.
const maxInterned = 64

// intern returns the baseHeader for a header. latest is the baseHeader of the connection's previous
// answer, or nil; usually it is the result.
func (h *Handler) intern(header http.Header, latest *baseHeader) *baseHeader {
	if latest != nil && latest.isOf(header) {
		return latest
	}
	var b bytes.Buffer
	_ = header.WriteSubset(&b, ownHeaders) // never fails for a bytes.Buffer
	h.headerLock.Lock()
	defer h.headerLock.Unlock()
	if base := h.headers[b.String()]; base != nil {
		return base
	}
	base := &baseHeader{lines: b.String()}
	base.fields = parseHeader(base.lines)
	base.closes = endsConnection(base.fields)
	if len(h.headers) < maxInterned {
		if h.headers == nil {
			h.headers = make(map[string]*baseHeader)
		}
		h.headers[base.lines] = base
	}
	return base
}

// isOf reports whether b is the baseHeader of a header. It may return false for a header that would
// be encoded as the same lines.
func (b *baseHeader) isOf(header http.Header) bool {
	n := 0
	for name, values := range header {
		if ownHeaders[name] {
			continue
		}
		if !slices.Equal(values, b.fields[name]) {
			return false
		}
		n++
	}
	return n == len(b.fields)
}

// parseHeader parses header lines that intern has written.
func parseHeader(lines string) http.Header {
	header, err := textproto.NewReader(bufio.NewReader(bytes.NewBufferString(lines + "\r\n"))).ReadMIMEHeader()
	if err != nil {
		return make(http.Header) // cannot happen: intern wrote the lines
	}
	return http.Header(header)
}
