package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/trivium-hub/trivium/transports/wire"
)

// bodyGrace is how long the rest of a refused request's body may take. net/http reads a part of
// it before it writes an answer, and without a limit a client that announced a body and waits for
// the answer would wait for ever.
const bodyGrace = time.Second

// WriteProblem answers the request with the problem (RFC 9457), and counts it. Headers that are set
// already are sent with it.
func WriteProblem(w http.ResponseWriter, r *http.Request, p *wire.Problem) {
	Count(r, p)
	h := w.Header()
	h.Set("Content-Type", wire.ProblemContentType)
	h.Set("Cache-Control", "no-store")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(wholeSeconds(p.RetryAfter), 10))
	}
	if p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden {
		h.Set("WWW-Authenticate", challenge(p))
	}
	if p.Status == http.StatusRequestTimeout && r.ProtoMajor == 1 {
		h.Set("Connection", "close") // RFC 9110 section 15.5.9; the rest of the body is not awaited
	}
	if r.ContentLength != 0 {
		// Where there is no deadline to set there is no connection to wait on.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyGrace))
	}
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(append(p.AppendJSON(nil), '\n')) // nobody is left to be told
	}
}

// wholeSeconds rounds up, to 1 at least.
func wholeSeconds(d time.Duration) int64 {
	return int64((d + time.Second - 1) / time.Second)
}

// challenge is the value of WWW-Authenticate (RFC 6750 section 3). It has an error only where the
// token is at fault: not where there is none, and not for a foreign origin.
func challenge(p *wire.Problem) string {
	c := `Bearer realm="trivium"`
	switch p.Code {
	case wire.CodeInvalidToken, wire.CodeTokenEnded:
		c += `, error="invalid_token"`
	case wire.CodeForbidden:
		c += `, error="insufficient_scope"`
	default:
		return c
	}
	if p.Detail == "" {
		return c
	}
	return c + `, error_description="` + strings.Map(describable, p.Detail) + `"`
}

// describable keeps what an error_description may have.
func describable(r rune) rune {
	switch {
	case r == '"', r == '\\':
		return '\''
	case r < ' ' || r > '~':
		return '?'
	}
	return r
}
