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

// anyOrigin is the pattern of every origin.
const anyOrigin = "*"

// preflightAge is how long a browser may keep what a preflight allowed: as long as Chromium keeps it
// at most.
const preflightAge = 2 * time.Hour

// Origins names the pages of other origins that may ask, and tells browsers so (CORS, in the Fetch
// standard). Nil allows none, and tells nothing.
type Origins struct {
	cors *cors.Middleware
	// credentialed: cookies of these pages count.
	credentialed bool
}

// NewOrigins makes Origins of patterns: scheme://host or scheme://host:port, as a browser writes an
// origin (lower case, punycode, no default port, no path). "*." as the beginning of the host stands
// for any subdomain, however deep, and "*" as the port for any. http is as good as https: who names
// it knows their network. "*" alone is every origin that has a name, which "null" has not; then no
// cookie counts but for pages of the hub's own origin. No pattern gives nil.
//
// The error names every pattern that is wrong, and why.
func NewOrigins(patterns ...string) (*Origins, error) {
	if len(patterns) == 0 {
		return nil, nil
	}
	everyone := slices.Contains(patterns, anyOrigin)
	middleware, err := cors.NewMiddleware(cors.Config{
		Origins:      patterns,
		Credentialed: !everyone,
		Methods:      []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete},
		RequestHeaders: []string{
			"Authorization", "Cache-Control", "Content-Type", "Idempotency-Key", "Last-Event-ID",
			"Prefer", "Trivium-Key", "Trivium-Type",
		},
		MaxAgeInSeconds: int(preflightAge / time.Second),
		ResponseHeaders: []string{"Retry-After", "WWW-Authenticate"},
		ExtraConfig:     cors.ExtraConfig{DangerouslyTolerateInsecureOrigins: true},
	})
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
	return &Origins{cors: middleware, credentialed: !everyone}, nil
}

// originFault says what is wrong with a pattern in the words of who wrote it.
func originFault(err error) error {
	switch err := err.(type) {
	case *cfgerrors.UnacceptableOriginPatternError:
		if err.Value == "null" || strings.HasPrefix(err.Value, "file:") {
			return fmt.Errorf("origin %q: stands for every page that does not tell its own", err.Value)
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
	if o == nil {
		return false
	}
	// The library takes anything for a host that stands between brackets.
	_, authority, _ := strings.Cut(origin, "://")
	if _, _, ok := splitHost(authority); !ok {
		return false
	}
	// It tells what it thinks of an origin to a browser only.
	w := &preflightAnswer{header: make(http.Header)}
	o.cors.Wrap(nil).ServeHTTP(w, &http.Request{
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
	o.cors.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { goesOn = true })).ServeHTTP(w, asBrowsersAsk(r))
	if !goesOn {
		boundBody(w, r)
	}
	return goesOn
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
