package websocket

import (
	"net/http"
	"slices"
	"strings"
)

// The parameters of permessage-deflate (RFC 7692, section 7.1).
const (
	deflateName         = "permessage-deflate"
	noServerTakeover    = "server_no_context_takeover"
	noClientTakeover    = "client_no_context_takeover"
	serverMaxWindowBits = "server_max_window_bits"
	clientMaxWindowBits = "client_max_window_bits"

	largestWindow = "15" // that of the hub's compressor
)

// deflateOffer returns the first offer of permessage-deflate that can be accepted, as the library reads
// it; "" if there is none. An offer with an unknown parameter, one that stands twice, or one whose value
// is not as it may be is declined (RFC 7692, section 7.1). window says that the answer must repeat
// server_max_window_bits.
func deflateOffer(header http.Header) (offer string, window bool) {
	for _, line := range header.Values("Sec-WebSocket-Extensions") {
		for extension := range strings.SplitSeq(line, ",") {
			name, parameters, _ := strings.Cut(extension, ";")
			if strings.TrimSpace(name) != deflateName {
				continue
			}
			if window, ok := acceptable(parameters, strings.Contains(extension, ";")); ok {
				return deflateName, window
			}
		}
	}
	return "", false
}

// acceptable looks at the parameters of an offer.
func acceptable(parameters string, some bool) (window, ok bool) {
	if !some {
		return false, true
	}
	var seen []string
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, hasValue := strings.Cut(parameter, "=")
		name, value = strings.TrimSpace(name), unquote(strings.TrimSpace(value))
		if slices.Contains(seen, name) {
			return false, false
		}
		seen = append(seen, name)
		switch name {
		case noServerTakeover, noClientTakeover:
			ok = !hasValue
		case clientMaxWindowBits:
			ok = !hasValue || windowBits(value)
		case serverMaxWindowBits: // a smaller window is none that the hub's compressor has
			window, ok = true, value == largestWindow
		default:
			ok = false
		}
		if !ok {
			return false, false
		}
	}
	return window, true
}

// unquote returns what stands in a quoted string (RFC 6455, section 9.1), or the value as it is.
func unquote(value string) string {
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		return value[1 : n-1]
	}
	return value
}

// windowBits reports whether a value is 8 to 15, without leading zeros.
func windowBits(value string) bool {
	return slices.Contains([]string{"8", "9", "10", "11", "12", "13", "14", largestWindow}, value)
}
