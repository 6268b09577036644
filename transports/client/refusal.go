package client

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/trivium-hub/trivium/transports/problems"
)

// maxProblemBody is the maximum number of bytes that problemOf reads from a body.
const maxProblemBody = 64 << 10 // bytes

// problemOf converts an unexpected answer to a Problem and closes it. Code is empty if another
// server answered, for example a proxy with an error page.
func problemOf(r *Response) *Problem {
	defer func() { _ = r.Body.Close() }() // the rest of the body is not needed
	p := new(Problem)
	if mediaType(r) == problems.ContentType {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxProblemBody))
		if err != nil || p.UnmarshalJSON(body) != nil {
			*p = Problem{}
		}
	}
	if p.Title == "" {
		p.Title = "unexpected status " + strconv.Itoa(r.Status)
		if r.Status == 200 {
			p.Title += ": the answer is not from a hub"
		}
		if to := redirectTarget(r); to != "" {
			p.Detail = "redirect to " + to
		}
	}
	p.Status, p.RetryAfter = r.Status, parseRetryAfter(r.Header("Retry-After"), time.Now())
	return p
}

// redirectTarget returns the target of a redirect without its query, because the query may contain
// a token.
func redirectTarget(r *Response) string {
	if r.Status < 300 || r.Status > 399 {
		return ""
	}
	to, err := parseAddress(r.Header("Location"))
	if err != nil {
		return ""
	}
	return to.bare()
}

func mediaType(r *Response) string {
	kind, _, _ := strings.Cut(r.Header("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(kind))
}

// temporary reports whether a retry of the same request may succeed.
func temporary(status int) bool {
	switch status {
	case 408, 425, 429:
		return true
	}
	return status < 300 || status >= 500 // a 200 without the expected body was sent by a captive portal or a proxy
}

// fromIntermediary reports whether a publish was refused by a proxy, not by the hub, for a reason
// that may be temporary. Refusals because of the size or the media type are not temporary.
func fromIntermediary(p *Problem) bool {
	switch p.Status {
	case 413, 414, 415, 431:
		return false
	}
	return p.Code == ""
}

// minRedactedToken is the length of the shortest token that is redacted in errors. A shorter token
// could equal an unrelated part of the error.
const minRedactedToken = 8 // bytes

// withoutToken redacts the token in an error, because a server may have included it in its answer.
func withoutToken(err error, token string) error {
	if err == nil || len(token) < minRedactedToken || !strings.Contains(err.Error(), token) {
		return err
	}
	const instead = "(the token)"
	if p, ok := errors.AsType[*Problem](err); ok {
		own := *p
		own.Title = strings.ReplaceAll(p.Title, token, instead)
		own.Detail = strings.ReplaceAll(p.Detail, token, instead)
		return &own
	}
	return errors.New(strings.ReplaceAll(err.Error(), token, instead))
}
