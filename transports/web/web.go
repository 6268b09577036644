package web

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/trivium-hub/trivium/transports/wire"
)

// Allow reports whether the request's method is one of the methods. If not, it has been answered
// with 405.
func Allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	if slices.Contains(methods, r.Method) {
		return true
	}
	allowed := strings.Join(methods, ", ")
	w.Header().Set("Allow", allowed)
	WriteProblem(w, r, wire.MethodNotAllowed(allowed))
	return false
}

// NotFound answers 404.
func NotFound(w http.ResponseWriter, r *http.Request) {
	WriteProblem(w, r, wire.NotFound())
}

// Jitter gives a random duration, uniform between shortest and longest, so that clients that were sent
// away at one moment do not come back at one.
func Jitter(shortest, longest time.Duration) time.Duration {
	if longest <= shortest {
		return shortest
	}
	return shortest + rand.N(longest-shortest+1)
}

// ComeBack is when a client is to try again that has lost its stream or was refused for a while
// only: 2 to 4 seconds, in whole milliseconds.
func ComeBack() time.Duration {
	return Jitter(2*time.Second, 4*time.Second).Round(time.Millisecond)
}
