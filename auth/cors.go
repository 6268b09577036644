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

// Patterns that are no scheme and host.
const (
	anyOrigin = "*"
	// nullOrigin is the origin of pages that have none of their own, or that hide it: of files,
	// sandboxed frames, data: URLs and some redirects. Any page can make one.
	nullOrigin = "null"
)

// preflightAge is how long a browser may keep what a preflight allowed: as long as Chromium keeps it
// at most.
const preflightAge = 2 * time.Hour

// Origins names the pages of other origins that may ask, and tells browsers so (CORS, in the Fetch
// standard). Nil allows none, and tells nothing.
type Origins struct {
	named *cors.Middleware // of pages whose origin matches a pattern; nil: there is none
	null  *cors.Middleware // of those whose origin is null; nil: they are refused
	// credentialed: cookies of the pages named count.
	credentialed bool
}

// NewOrigins makes Origins of patterns: scheme://host or scheme://host:port, as a browser writes an
// origin (lower case, punycode, no default port, no path). "*." as the beginning of the host stands
// for any subdomain, however deep, and "*" as the port for any. http is as good as https: whoever
// names it knows the network. "*" stands for every origin that has a name; then no cookie counts but
// for pages of the hub's own origin. "null" stands for pages without an origin of their own, whose
// cookies never count. No pattern gives nil.
//
// A page may set the request headers that the hub reads, those that tracing and AJAX libraries add by
// themselves, and the headers given.
//
// The error names every pattern and header that is wrong, and why.
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
		// Browsers take * for null too, and send no cookies then.
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
	o.named, err = newCORS(patterns, headers, o.credentialed)
	var faults []error
	if everyone && len(patterns) > 1 {
		faults = append(faults, fmt.Errorf("origin %q: is every origin, without cookies, so it stands alone", anyOrigin))
	}
	if err != nil {
		for fault := range cfgerrors.All(err) {
			faults = append(faults, originFault(fault))
		}
	}
	if faults != nil {
		return nil, errors.Join(faults...)
	}
	return o, nil
}

// requestHeaders are those that a page may set: what the hub reads, and behind it what libraries of
// browsers and of tracing add by themselves, which would else fail every request of such a page.
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

// CheckRequestHeaders returns what is wrong with the names of headers for NewOrigins.
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

// originFault says what is wrong with a pattern in the words of who wrote it.
func originFault(err error) error {
	switch err := err.(type) {
	case *cfgerrors.UnacceptableOriginPatternError:
		if strings.HasPrefix(err.Value, "file:") {
			return fmt.Errorf("origin %q: pages of files have the origin %s, as other pages have that hide theirs", err.Value, nullOrigin)
		}
		return fmt.Errorf("origin %q: want scheme://host or scheme://host:port as a browser writes it: lower case ASCII "+
			"(punycode), no path, no default port, an IP address short and not behind https; the host may begin "+
			"with \"*.\", and the port be \"*\"", err.Value)
	case *cfgerrors.IncompatibleOriginPatternError:
		return fmt.Errorf("origin %q: anybody can have a name under this public suffix; name the site below it", err.Value)
	}
	return err
}

// allows reports whether pages of the origin may ask, which is that of another host.
func (o *Origins) allows(origin string) bool {
	switch {
	case o == nil:
		return false
	case origin == nullOrigin:
		return o.null != nil
	case o.named == nil:
		return false
	}
	// The library takes anything for a host that stands between brackets.
	_, authority, _ := strings.Cut(origin, "://")
	if _, _, ok := splitHost(authority); !ok {
		return false
	}
	// It tells what it thinks of an origin to a browser only.
	w := &preflightAnswer{header: make(http.Header)}
	o.named.Wrap(nil).ServeHTTP(w, &http.Request{
		Method: http.MethodOptions,
		Header: http.Header{"Origin": {origin}, "Access-Control-Request-Method": {http.MethodGet}},
	})
	return w.status == http.StatusNoContent
}

// share tells a browser which pages may have the answer, and reports whether the request goes on;
// if not, it was a preflight, which has been answered.
func (o *Origins) share(w http.ResponseWriter, r *http.Request) (goesOn bool) {
	if o == nil {
		return true
	}
	middleware := o.named
	switch {
	case r.Header.Get("Origin") == nullOrigin:
		middleware, r = o.null, withOrigin(r, someOrigin)
		o.vary(w)
	case o.named == nil: // no browser, or a request that it sends without an Origin
		o.vary(w)
		return true
	}
	middleware.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { goesOn = true })).ServeHTTP(w, asBrowsersAsk(r))
	if !goesOn {
		boundBody(w, r)
	}
	return goesOn
}

// someOrigin is one that has a name, as the library wants it even where every origin is allowed; which
// it is makes no difference to the answer.
const someOrigin = "https://origin.invalid"

// withOrigin returns a copy of the request with another Origin.
func withOrigin(r *http.Request, origin string) *http.Request {
	other := *r
	other.Header = r.Header.Clone()
	other.Header["Origin"] = []string{origin}
	return &other
}

// asBrowsersAsk spells the names of a preflight as the Fetch standard has browsers do, in lower case
// and in order, which is the one spelling that the library takes: other clients ask too.
func asBrowsersAsk(r *http.Request) *http.Request {
	const field = "Access-Control-Request-Headers"
	lines := r.Header[field]
	if r.Method != http.MethodOptions || len(lines) == 0 {
		return r
	}
	var names []string
	for _, name := range list(lines) {
		if name != "" {
			names = append(names, strings.ToLower(name))
		}
	}
	slices.Sort(names)
	spelt := *r
	spelt.Header = r.Header.Clone()
	spelt.Header[field] = []string{strings.Join(slices.Compact(names), ",")}
	return &spelt
}

// vary keeps caches from giving an answer that was for one origin to another.
func (o *Origins) vary(w http.ResponseWriter) {
	if o != nil {
		w.Header().Add("Vary", "Origin")
	}
}

// preflightAnswer is a [http.ResponseWriter] that keeps the status only.
type preflightAnswer struct {
	header http.Header
	status int
}

func (a *preflightAnswer) Header() http.Header         { return a.header }
func (a *preflightAnswer) Write(b []byte) (int, error) { return len(b), nil }
func (a *preflightAnswer) WriteHeader(status int)      { a.status = status }

// bodyGrace is how long the rest of a body that nobody reads may take. net/http reads a part of it
// before it sends the answer, for as long as it takes if nothing limits it.
const bodyGrace = time.Second

// boundBody bounds the time of a body that nobody reads.
func boundBody(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		// Where there is no deadline to set there is no connection to wait on.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyGrace))
	}
}
