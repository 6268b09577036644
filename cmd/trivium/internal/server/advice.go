package server

import (
	"errors"
	"slices"

	"github.com/trivium-hub/trivium/auth"
)

// advice returns a suffix for the error message of a request that was refused because of its origin or
// host. The suffix states what the operator can change. For other errors it is "".
func advice(route string, err error) string {
	var origin *auth.OriginError
	switch {
	case errors.Is(err, auth.ErrHost):
		return "; allow the host with --host"
	case !errors.As(err, &origin):
		return ""
	case route == adminRoute:
		return "; the admin listener answers only pages of its own origin"
	case len(origin.Origins) == 0:
		return "; use fetch, EventSource or WebSocket from a page of an origin that --origin allows, because browsers send an Origin header with these requests"
	case slices.Equal(origin.Origins, []string{"null"}):
		return "; serve a page from a file over http, for example with python3 -m http.server 8000, and allow its origin with --origin http://localhost:8000; --origin null allows all pages without an origin"
	default:
		return "; behind a proxy keep Host and use --trusted-proxy, or allow the origin with --origin"
	}
}
