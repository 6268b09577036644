package client

import (
	"strings"

	"github.com/trivium-hub/trivium/hub"
)

// address is a parsed URL. It replaces net/url, whose imports would make a WebAssembly binary 5 %
// larger.
type address struct {
	scheme, host, path    string // path is kept as written, not decoded
	user, query, fragment bool   // whether the part is present, even if it is empty
}

// bare returns the URL without user, query and fragment, which may contain secrets.
func (a address) bare() string {
	if a.scheme == "" {
		return a.host + a.path
	}
	return a.scheme + "://" + a.host + a.path
}

// query is the query part of a URL.
type query string

// with returns q with an additional parameter.
func (q query) with(name, value string) query {
	if q != "" {
		q += "&"
	}
	return q + query(name+"="+escape(value))
}

// escape percent-encodes all characters except the unreserved ones (RFC 3986, section 2.3).
func escape(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; strings.IndexByte(hub.CursorChars, c) >= 0 {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', digits[c>>4], digits[c&0xf]})
		}
	}
	return b.String()
}
