package transports

import (
	"net/http"

	"github.com/trivium-hub/trivium/transports/internal/web"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
)

// WriteProblem answers a request with a problem. If the request's context is derived from API.Context,
// the API counts the problem. WriteProblem also sends headers that are already set in w.
func WriteProblem(w http.ResponseWriter, r *http.Request, p *problems.Problem) {
	web.WriteProblem(w, r, p)
}

// NotFound answers a request with status 404.
func NotFound(w http.ResponseWriter, r *http.Request) { web.NotFound(w, r) }

// AllowMethods reports whether the request's method is in methods. If not, it answers the request:
// OPTIONS with status 204 and the header Allow (RFC 9110 section 9.3.7), any other method with status
// 405.
func AllowMethods(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	return web.AllowMethods(w, r, methods...)
}

// ValidateCloudEventsSource returns an error if s is not a valid value of Config.CloudEventsSource. A
// valid value is a URI reference (RFC 3986).
func ValidateCloudEventsSource(s string) error { return wire.CheckURIReference("CloudEventsSource", s) }
