package main

import (
	"errors"

	"github.com/trivium-hub/trivium/auth"
)

// advice returns what the operator can do about a refused request; it follows the reason in the answer.
func advice(route string, err error) string {
	var origin *auth.OriginError
	switch {
	case errors.Is(err, auth.ErrHost):
		return "; --host names those that are"
	case !errors.As(err, &origin):
		return ""
	case route == adminRoute:
		return "; the listener of --admin answers pages of its own origin only"
	case len(origin.Origins) == 0:
		return "; a page of an origin allowed with --origin asks by fetch, EventSource or WebSocket, which have one"
	default:
		return "; behind a proxy keep Host and use --trusted-proxy, or allow the origin with --origin"
	}
}
