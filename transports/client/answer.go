package client

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/trivium-hub/trivium/transports/wire"
)

// maxRefusal bounds what is read of an answer that refuses.
const maxRefusal = 64 << 10 // bytes

// refusal makes a problem of an answer that is not what was asked for, and closes it. One that is not
// of a hub, but of what stands between, has no Code.
func refusal(r *Response) *Problem {
	defer func() { _ = r.Body.Close() }() // nothing more is wanted of it
	p := new(Problem)
	if mediaType(r) == wire.ProblemContentType {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxRefusal))
		if err != nil || p.UnmarshalJSON(body) != nil {
			*p = Problem{}
		}
	}
	if p.Title == "" {
		p.Title = "answered with status " + strconv.Itoa(r.Status)
		if r.Status == 200 {
			p.Title += ", but not as a hub does"
		}
		if to := redirect(r); to != "" {
			p.Detail = "it leads to " + to
		}
	}
	p.Status, p.RetryAfter = r.Status, parseRetryAfter(r.Header("Retry-After"), time.Now())
	return p
}

// redirect is where a redirect leads to, without the query, in which there may be a token.
func redirect(r *Response) string {
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

// temporary reports that trying the same again may help.
func temporary(status int) bool {
	switch status {
	case 408, 425, 429:
		return true
	}
	return status < 300 || status >= 500 // 200 without what was asked for: a portal, a proxy's page
}

// mayPass reports whether a publish was refused by what stands between, such as a proxy whose routes are being
// changed, and not for its size.
func mayPass(p *Problem) bool {
	switch p.Status {
	case 413, 414, 415, 431:
		return false
	}
	return p.Code == ""
}

// minSecret is the shortest token that is looked for in texts.
const minSecret = 8 // bytes

// withoutToken keeps the token out of what is said, whoever put it there.
func withoutToken(err error, token string) error {
	if err == nil || len(token) < minSecret || !strings.Contains(err.Error(), token) {
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
