package web

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/trivium-hub/trivium/transports/problems"
)

// AllowMethods reports whether the request's method is one of methods. If not, it answers: OPTIONS with 204 and
// Allow (RFC 9110 section 9.3.7), any other method with 405.
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

// NotFound answers 404.
func NotFound(w http.ResponseWriter, r *http.Request) {
	WriteProblem(w, r, problems.NotFound())
}

// Jitter returns a random duration, uniform between shortest and longest. It spreads the reconnects
// of clients that were disconnected at the same time.
func Jitter(shortest, longest time.Duration) time.Duration {
	if longest <= shortest {
		return shortest
	}
	return shortest + rand.N(longest-shortest+1)
}

// RetryDelay returns the random time after which a client retries that lost its stream or was
// refused temporarily: 2 to 4 seconds, in whole milliseconds.
func RetryDelay() time.Duration {
	return Jitter(2*time.Second, 4*time.Second).Round(time.Millisecond)
}
