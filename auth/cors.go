package auth

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jub0bs/cors"
	"github.com/jub0bs/cors/cfgerrors"
)

// Patterns other than scheme://host.
const (
	anyOrigin = "*"
	// nullOrigin is the Origin that browsers send for pages with an undefined or hidden origin:
	// files, sandboxed frames, data: URLs and some redirects. Any page can obtain this origin.
	nullOrigin = "null"
)

// preflightAge is the time for which browsers may cache the answer to a CORS preflight request.
// Chromium caches it for at most two hours.
const preflightAge = 2 * time.Hour

// Origins is the set of origins, other than the hub's own, whose pages may send requests. The hub
// sets CORS headers for them in its answers (Fetch standard). A nil Origins allows no other origin,
// and sets no headers.
type Origins struct {
	allowed *cors.Middleware // for origins that match a pattern; nil: none
	null    *cors.Middleware // for the origin null; nil: refused
	// credentialed is set if cookies of the allowed pages are accepted.
	credentialed bool
}

// NewOrigins returns Origins for patterns. A pattern is scheme://host or scheme://host:port, as a
// browser writes an origin (lower case, punycode, no default port, no path). The host may begin
// with "*." for subdomains of any depth, and the port may be "*" for any port. The scheme is http,
// https or that of an app, such as capacitor. The pattern "*" allows every origin except null;
// cookies are then accepted only from pages of the hub's own origin. The pattern "null" allows
// pages for which browsers send the Origin null; their cookies are never accepted. Without patterns
// the result is nil.
//
// A page may set the request headers that the hub reads, the headers that tracing and AJAX
// libraries add, and the headers given here.
//
// The error describes every invalid pattern and header.
func NewOrigins(patterns []string, headers ...string) (*Origins, error) {
	if len(patterns) == 0 {
		return nil, nil
	}
	if err := CheckRequestHeaders(headers); err != nil {
		return nil, err
	}
	o := new(Origins)
	if slices.Contains(patterns, nullOrigin) {
		patterns = slices.DeleteFunc(slices.Clone(patterns), func(p string) bool { return p == nullOrigin })
		var err error
		// The library allows the origin null only if the pattern is "*" and cookies are not
		// accepted.
		if o.null, err = newCORS([]string{anyOrigin}, headers, false); err != nil {
			return nil, err
		}
		if len(patterns) == 0 {
			return o, nil
		}
	}
	everyone := slices.Contains(patterns, anyOrigin)
	o.credentialed = !everyone
	var err error
	o.allowed, err = newCORS(patterns, headers, o.credentialed)
	var faults []error
	if everyone && len(patterns) > 1 {
		faults = append(faults, fmt.Errorf("origin %q: allows every origin, without cookies, so it must be the only pattern", anyOrigin))
	}
	if err != nil {
		for fault := range cfgerrors.All(err) {
			faults = append(faults, describeOriginError(fault))
		}
	}
	if faults != nil {
		return nil, errors.Join(faults...)
	}
	return o, nil
}

// requestHeaders are the headers that a page may set: first the headers that the hub reads, then
// the headers that AJAX and tracing libraries add to every request. If the latter were not allowed,
// every request of a page with one of these libraries would fail.
var requestHeaders = []string{
	"Authorization", "Content-Encoding", "Content-Type", "Idempotency-Key", "Last-Event-ID", "Prefer", "Trivium-Key", "Trivium-Type",
	"Baggage", "Cache-Control", "Pragma", "Sentry-Trace", "Traceparent", "Tracestate", "X-Requested-With",
}

func newCORS(patterns, headers []string, credentialed bool) (*cors.Middleware, error) {
	return cors.NewMiddleware(cors.Config{
		Origins:         patterns,
		Credentialed:    credentialed,
		Methods:         []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete},
		RequestHeaders:  slices.Concat(requestHeaders, headers),
		MaxAgeInSeconds: int(preflightAge / time.Second),
		ResponseHeaders: []string{"Retry-After", "WWW-Authenticate"},
		ExtraConfig:     cors.ExtraConfig{DangerouslyTolerateInsecureOrigins: true},
	})
}

// CheckRequestHeaders returns an error that describes every invalid header name for NewOrigins.
func CheckRequestHeaders(names []string) error {
	var faults []error
	for _, name := range names {
		_, err := newCORS([]string{someOrigin}, []string{name}, true)
		var bad *cfgerrors.UnacceptableHeaderNameError
		switch {
		case name == "*":
			faults = append(faults, errors.New("header \"*\": want the name of each header"))
		case errors.As(err, &bad) && bad.Reason == "invalid":
			faults = append(faults, fmt.Errorf("header %q: want the name of a header such as X-Request-Id", name))
		case err != nil:
			faults = append(faults, fmt.Errorf("header %q: no page can set this header", name))
		}
	}
	return errors.Join(faults...)
}

// describeOriginError replaces an error of the CORS library with a description of the invalid
// pattern.
func describeOriginError(err error) error {
	switch err := err.(type) {
	case *cfgerrors.UnacceptableOriginPatternError:
		if strings.HasPrefix(err.Value, "file:") {
			return fmt.Errorf("origin %q: browsers send the origin %s for a page that was opened from a file; use %[2]s, which also allows sandboxed frames", err.Value, nullOrigin)
		}
		return fmt.Errorf("origin %q: want scheme://host or scheme://host:port as a browser writes it: lower case ASCII "+
			"(punycode), no path, no default port, an IP address in its shortest form and with http only; the host may begin "+
			"with \"*.\", and the port may be \"*\"", err.Value)
	case *cfgerrors.IncompatibleOriginPatternError:
		return fmt.Errorf("origin %q: anybody can register a name under this public suffix; want the name of a site below it", err.Value)
	}
	return err
}

// allows reports whether pages of this origin are allowed.
func (o *Origins) allows(origin string) bool {
	switch {
	case o == nil:
		return false
	case origin == nullOrigin:
		return o.null != nil
	case o.allowed == nil:
		return false
	}
	// The CORS library would accept anything in brackets as a host.
	_, authority, _ := strings.Cut(origin, "://")
	if _, _, ok := splitHost(authority); !ok {
		return false
	}
	// The CORS library has no function that checks an origin, so allows passes a preflight request
	// to the library's handler and examines the answer.
	w := &preflightAnswer{header: make(http.Header)}
	o.allowed.Wrap(nil).ServeHTTP(w, &http.Request{
		Method: http.MethodOptions,
		Header: http.Header{"Origin": {origin}, "Access-Control-Request-Method": {http.MethodGet}},
	})
	return w.status == http.StatusNoContent
}

// applyCORS sets the CORS headers of the answer. It returns false if the request was a preflight,
// which it has answered.
func (o *Origins) applyCORS(w http.ResponseWriter, r *http.Request) (proceed bool) {
	if o == nil {
		return true
	}
	middleware := o.allowed
	switch {
	case r.Header.Get("Origin") == nullOrigin:
		middleware, r = o.null, withOrigin(r, someOrigin)
		o.setVary(w)
	case o.allowed == nil: // the request has no Origin
		o.setVary(w)
		return true
	}
	middleware.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { proceed = true })).ServeHTTP(w, normalizePreflight(r))
	if !proceed {
		boundBody(w, r)
	}
	return proceed
}

// someOrigin is passed to the CORS library when the library requires a valid origin, but the result
// does not depend on it.
const someOrigin = "https://origin.invalid"

// withOrigin returns a copy of the request with this Origin header.
func withOrigin(r *http.Request, origin string) *http.Request {
	other := *r
	other.Header = r.Header.Clone()
	other.Header["Origin"] = []string{origin}
	return &other
}

// normalizePreflight converts the header names in a preflight request to lower case and sorts them,
// as browsers do (Fetch standard). The CORS library accepts only this form, but clients other than
// browsers send other forms.
func normalizePreflight(r *http.Request) *http.Request {
	const field = "Access-Control-Request-Headers"
	lines := r.Header[field]
	if r.Method != http.MethodOptions || len(lines) == 0 {
		return r
	}
	var names []string
	for _, name := range listElements(lines) {
		if name != "" {
			names = append(names, strings.ToLower(name))
		}
	}
	slices.Sort(names)
	normalized := *r
	normalized.Header = r.Header.Clone()
	normalized.Header[field] = []string{strings.Join(slices.Compact(names), ",")}
	return &normalized
}

// setVary sets the header Vary, so that caches do not send the answer to pages of another origin.
func (o *Origins) setVary(w http.ResponseWriter) {
	if o != nil {
		w.Header().Add("Vary", "Origin")
	}
}

// preflightAnswer is an [http.ResponseWriter] that records only the status.
type preflightAnswer struct {
	header http.Header
	status int
}

func (a *preflightAnswer) Header() http.Header         { return a.header }
func (a *preflightAnswer) Write(b []byte) (int, error) { return len(b), nil }
func (a *preflightAnswer) WriteHeader(status int)      { a.status = status }

// bodyGrace is the time within which the rest of an unread request body must arrive. net/http reads
// part of the body before it sends the answer, and sets no time limit.
const bodyGrace = time.Second

// boundBody limits how long net/http reads an unread request body.
func boundBody(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		// The error is ignored. It occurs only in tests whose connections do not support deadlines.
		// Reading from these connections does not block.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyGrace))
	}
}
