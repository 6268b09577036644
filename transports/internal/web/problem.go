package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/trivium-hub/trivium/transports/problems"
)

// bodyGrace limits how long net/http waits for the rest of a refused request's body. net/http reads part
// of the body before it sends the answer. Without a limit, it would block forever if a client announces a
// body but sends it only after it has received the answer.
const bodyGrace = time.Second

// WriteProblem answers the request with a problem (RFC 9457) and counts the problem. It also sends
// headers that are already set.
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
		// The error is ignored: only test connections do not support deadlines, and their reads do not
		// block.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyGrace))
	}
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(append(p.AppendJSON(nil), '\n')) // fails if the client has disconnected
	}
}

// ceilSeconds returns the duration in seconds, rounded up.
func ceilSeconds(d time.Duration) int64 {
	return int64((d + time.Second - 1) / time.Second)
}

// challenge returns the value of the header WWW-Authenticate (RFC 6750 section 3). The value contains an
// error if the token is invalid or lacks a right. It contains no error if the request has no token or a
// foreign origin.
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

// descriptionRune returns r, or a replacement if error_description must not contain r.
func descriptionRune(r rune) rune {
	switch {
	case r == '"', r == '\\':
		return '\''
	case r < ' ' || r > '~':
		return '?'
	}
	return r
}
