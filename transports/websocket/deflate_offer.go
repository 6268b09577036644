package websocket

import (
	"net/http"
	"slices"
	"strings"

	"github.com/trivium-hub/trivium/transports/internal/web"
)

// Parameters of permessage-deflate (RFC 7692, section 7.1).
const (
	deflateName         = "permessage-deflate"
	noServerTakeover    = "server_no_context_takeover"
	noClientTakeover    = "client_no_context_takeover"
	serverMaxWindowBits = "server_max_window_bits"
	clientMaxWindowBits = "client_max_window_bits"

	largestWindow = "15" // window bits of the hub's compressor
)

// deflateOffer parses the offers of permessage-deflate in a handshake. If an offer is acceptable, it
// returns an offer that github.com/coder/websocket can parse, otherwise "". An offer with an unknown,
// repeated or invalid parameter is not acceptable (RFC 7692, section 7.1). window reports whether the
// answer must repeat the parameter server_max_window_bits.
func deflateOffer(header http.Header) (offer string, window bool) {
	for extension := range web.Elements(header.Values("Sec-WebSocket-Extensions")) {
		name, parameters, _ := strings.Cut(extension, ";")
		if strings.TrimSpace(name) != deflateName {
			continue
		}
		if window, ok := parseDeflateOffer(parameters, strings.Contains(extension, ";")); ok {
			return deflateName, window
		}
	}
	return "", false
}

// parseDeflateOffer parses the parameters of an offer. present reports whether the offer has parameters.
// ok reports whether they are acceptable, and window whether the answer must repeat the parameter
// server_max_window_bits.
func parseDeflateOffer(parameters string, present bool) (window, ok bool) {
	if !present {
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
			ok = !hasValue || validWindowBits(value)
		case serverMaxWindowBits: // the hub's compressor cannot use a smaller window
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

// unquote returns the content of a quoted string (RFC 6455, section 9.1). It returns any other value
// unchanged.
func unquote(value string) string {
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		return value[1 : n-1]
	}
	return value
}

// validWindowBits reports whether a value is a number from 8 to 15, without leading zeros.
func validWindowBits(value string) bool {
	return slices.Contains([]string{"8", "9", "10", "11", "12", "13", "14", largestWindow}, value)
}
