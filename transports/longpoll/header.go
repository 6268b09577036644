package longpoll

import (
	"bufio"
	"bytes"
	"net/http"
	"net/textproto"
	"slices"
)

// baseHeader is the part of an answer's header that is the same in many answers, for example the lines
// that a middleware has set. Connections whose answers have equal lines share one baseHeader. It is
// immutable.
type baseHeader struct {
	lines  string
	fields http.Header // parsed from lines
	closes bool        // whether the connection must be closed after an answer with this header
}

// ownHeaders contains the names of header lines that may differ between answers. They are not part of a
// baseHeader.
var ownHeaders = map[string]bool{"Content-Type": true, "Cache-Control": true, "Content-Length": true, "Date": true}

// maxInterned is the maximum number of baseHeaders that are shared among connections.
const maxInterned = 64

// intern returns the baseHeader for a header. latest is the baseHeader of the connection's previous
// answer, or nil. Usually both headers are equal, and intern returns latest.
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

// isOf reports whether b is the baseHeader for a header. It may return false although the header would
// be written as the same lines, for example if a value begins with a space.
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

// parseHeader parses the lines of a baseHeader.
func parseHeader(lines string) http.Header {
	header, err := textproto.NewReader(bufio.NewReader(bytes.NewBufferString(lines + "\r\n"))).ReadMIMEHeader()
	if err != nil {
		return make(http.Header) // cannot happen: intern wrote the lines
	}
	return http.Header(header)
}
