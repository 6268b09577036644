package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/trivium-hub/trivium/transports/problems"
)

// bodyGrace is how long the rest of a refused request's body may take. net/http reads part of it
// before it sends the answer. Without a limit, a client that announced a body and waits for the
// answer first would block for ever.
const bodyGrace = time.Second

// WriteProblem answers the request with the problem (RFC 9457) and counts it. Headers that are
// already set are sent too.
func WriteProblem(w http.ResponseWriter, r *http.Request, p *problems.Problem) {
	CountProblem(r, p)
	h := w.Header()
	h.Set("Content-Type", problems.ContentType)
	h.Set("Cache-Control", "no-store")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(ceilSeconds(p.RetryAfter), 10))
	}
	if p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden {
		h.Set("WWW-Authenticate", challenge(p))
	}
	if p.Status == http.StatusRequestTimeout && r.ProtoMajor == 1 {
		h.Set("Connection", "close") // RFC 9110 section 15.5.9; do not wait for the rest of the body
	}
	if r.ContentLength != 0 {
		// SetReadDeadline fails only where no connection could block, as in tests.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyGrace))
	}
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(append(p.AppendJSON(nil), '\n')) // if this fails, the client is gone
	}
}

// ceilSeconds rounds up to whole seconds.
func ceilSeconds(d time.Duration) int64 {
	return int64((d + time.Second - 1) / time.Second)
}

// challenge returns the value of WWW-Authenticate (RFC 6750 section 3). It has an error only if the
// token is at fault, not if there is none or the origin is foreign.
func challenge(p *problems.Problem) string {
	c := `Bearer realm="trivium"`
	switch p.Code {
	case problems.CodeInvalidToken, problems.CodeTokenEnded:
		c += `, error="invalid_token"`
	case problems.CodeForbidden:
		c += `, error="insufficient_scope"`
	default:
		return c
	}
	if p.Detail == "" {
		return c
	}
	return c + `, error_description="` + strings.Map(descriptionRune, p.Detail) + `"`
}

// descriptionRune replaces characters that error_description must not contain.
func descriptionRune(r rune) rune {
	switch {
	case r == '"', r == '\\':
		return '\''
	case r < ' ' || r > '~':
		return '?'
	}
	return r
}
