package client

import "strings"

// address is a URL in its parts, as net/url and a page's own URL have them. Package net/url is not for
// a page: with what it imports it would be a twentieth of the program there.
type address struct {
	scheme, host, path    string // the path as it is written
	user, query, fragment bool   // whether it has one, even an empty one
}

// bare is the URL without what may be secret in it.
func (a address) bare() string {
	if a.scheme == "" {
		return a.host + a.path
	}
	return a.scheme + "://" + a.host + a.path
}

// query is the query of a URL.
type query string

// with adds a parameter.
func (q query) with(name, value string) query {
	if q != "" {
		q += "&"
	}
	return q + query(name+"="+escape(value))
}

// escape percent-encodes all but the unreserved characters (RFC 3986, section 2.3).
func escape(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~", c) >= 0:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', digits[c>>4], digits[c&0xf]})
		}
	}
	return b.String()
}
