package web

import (
	"net/http"
	"slices"
	"strings"

	"github.com/trivium-hub/trivium/transports/problems"
)

// AllowMethods reports whether the request's method is in methods. If not, it answers the request:
// OPTIONS with status 204 and the header Allow (RFC 9110 section 9.3.7), any other method with status
// 405.
func AllowMethods(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	if slices.Contains(methods, r.Method) {
		return true
	}
	allowed := strings.Join(methods, ", ")
	if r.Method == http.MethodOptions {
		w.Header().Set("Allow", allowed+", OPTIONS")
		w.WriteHeader(http.StatusNoContent)
		return false
	}
	w.Header().Set("Allow", allowed)
	WriteProblem(w, r, problems.MethodNotAllowed(allowed))
	return false
}

// NotFound answers a request with status 404.
func NotFound(w http.ResponseWriter, r *http.Request) {
	WriteProblem(w, r, problems.NotFound())
}
