package auth

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
)

// Config configures a Middleware.
type Config struct {
	// Verifier verifies tokens. If it is nil, the hub is open: every request has all rights, and
	// tokens and cookies are not checked. A request with more than one token is refused even by an
	// open hub, so that clients written for an open hub work with other hubs.
	Verifier Verifier
	// Authorize, if set, determines the rights of a request; Verifier is then not used. It is for
	// programs that embed the hub and have sessions or certificates of their own. If Authorize
	// returns an error, the request is refused.
	Authorize func(*http.Request) (*Credential, error)
	// Tickets issues and redeems tickets; nil: none are accepted.
	Tickets *Tickets
	// Hosts are the names by which the hub may be reached; nil: any name. Set Hosts for an open hub
	// and for the admin listener: the check of the host protects them against DNS rebinding.
	Hosts *HostPolicy
	// Limits are the limits for all connections together. The limits for one token are in its
	// Credential.
	Limits ConnectionLimits
	// Origins are the origins, other than the hub's own, whose pages are allowed; nil: none.
	Origins *Origins
	// Proxies are the trusted reverse proxies; nil: none.
	Proxies *Proxies
	// CrossSite is the policy for requests without Origin that a page of another site has caused,
	// for example by an <img>.
	CrossSite CrossSite
	// Log is used to log the subjects of tokens that Recheck ends; nil: they are not logged.
	Log *slog.Logger
}

// CrossSite is a policy for requests without Origin whose Sec-Fetch-Site shows that a page of
// another origin has caused them. The page cannot read the answer, but the request could have an
// effect if no token is required.
type CrossSite int

// Policies for cross-site requests without an Origin.
const (
	CrossSiteAllowed CrossSite = iota
	// CrossSiteNavigation refuses these requests unless they are navigations, such as following a link.
	CrossSiteNavigation
	// CrossSiteRefused refuses all these requests.
	CrossSiteRefused
)

// Middleware authenticates requests, and notifies connections when their rights change.
type Middleware struct {
	config   Config
	sessions *sessionTable
}

// New returns a Middleware. Unless Run is called, expired tokens are refused in new requests, but
// existing connections continue.
func New(config Config) *Middleware {
	return &Middleware{config: config, sessions: newSessionTable(config.Limits, config.Log)}
}

// Run ends the sessions of expired tokens, until ctx ends.
func (m *Middleware) Run(ctx context.Context) { m.sessions.run(ctx) }

// Recheck verifies all tokens in use again. It must be called when the Verifier's configuration has
// changed. When it returns, connections whose token has ended or whose rights have changed have
// been notified.
func (m *Middleware) Recheck() {
	if m.config.Verifier != nil {
		m.sessions.recheckAll(m.config.Verifier)
	}
}

// ErrorHandler answers a refused request. The reason is an error of this package or of the
// Verifier.
type ErrorHandler func(w http.ResponseWriter, r *http.Request, reason error)

// Wrap returns a middleware that adds an Access to the context of each accepted request and passes
// the request on. The error handler refuse answers the other requests. The middleware answers
// preflights itself, so a router must pass them to it. It sets CORS headers in all cases. The result
// can be passed to Router.Use of gorilla/mux.
func (m *Middleware) Wrap(refuse ErrorHandler) func(http.Handler) http.Handler {
	return m.wrap(refuse, m.authenticate)
}

// WrapSubscription is like Wrap, for the routes of subscriptions: they also accept a ticket instead
// of a token.
func (m *Middleware) WrapSubscription(refuse ErrorHandler) func(http.Handler) http.Handler {
	if m.config.Tickets == nil {
		return m.Wrap(refuse)
	}
	return m.wrap(refuse, func(r *http.Request, query url.Values) (*tokenAccess, error) {
		token, present, err := m.redeem(r, query)
		switch {
		case err != nil:
			return nil, err
		case present:
			return m.accessFor(r, token)
		}
		return m.authenticate(r, query)
	})
}

func (m *Middleware) wrap(refuse ErrorHandler, authenticate func(*http.Request, url.Values) (*tokenAccess, error)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			query, proceed := m.admit(w, r, refuse)
			if !proceed {
				return
			}
			access, err := authenticate(r, query.values)
			if err != nil {
				refuse(w, r, err)
				return
			}
			defer access.Done()
			next.ServeHTTP(w, r.WithContext(&requestContext{r.Context(), access, query}))
		})
	}
}

// admit checks Host and Origin, and sets the headers that depend on them and on the query. If
// proceed is false, admit has refused the request or answered it as a preflight.
func (m *Middleware) admit(w http.ResponseWriter, r *http.Request, refuse ErrorHandler) (query parsedQuery, proceed bool) {
	query.raw = r.URL.RawQuery
	query.values, query.err = url.ParseQuery(query.raw)
	if query.err != nil || query.values.Has(queryToken) || query.values.Has(queryTicket) {
		// The header is set for every query that may contain a token, even a malformed one.
		w.Header().Set("Referrer-Policy", "no-referrer")
	}
	if err := m.config.Hosts.Check(r); err != nil {
		refuse(w, r, err)
		return query, false
	}
	switch m.originKindOf(r) {
	case foreignOrigin:
		m.config.Origins.setVary(w)
		refuse(w, r, &OriginError{Origins: r.Header["Origin"], Own: m.ownOrigin(r)})
		return query, false
	case sameOriginPage: // needs no CORS
		m.config.Origins.setVary(w)
		return query, true
	case noOrigin:
		if !m.config.CrossSite.allows(r) {
			refuse(w, r, &OriginError{Own: m.ownOrigin(r)})
			return query, false
		}
	}
	return query, m.config.Origins.applyCORS(w, r)
}

// authenticate returns the Access of an admitted request.
func (m *Middleware) authenticate(r *http.Request, query url.Values) (*tokenAccess, error) {
	if m.config.Authorize != nil {
		return m.authorize(r)
	}
	token, present, err := findToken(r, query)
	if err == nil && !present && m.config.Verifier != nil {
		token, present, err = m.findCookie(r)
		if err == nil && !present {
			token, present = m.findBasic(r)
		}
	}
	switch {
	case err != nil:
		return nil, err
	case !present && m.config.Verifier != nil:
		return nil, ErrNoToken
	}
	return m.accessFor(r, token)
}

// accessFor returns the Access of a request with the given token. The caller must call Done.
func (m *Middleware) accessFor(r *http.Request, token string) (*tokenAccess, error) {
	access, err := m.access(r.Context(), r, token)
	if err != nil {
		return nil, err
	}
	access.client = m.config.Proxies.Client(r)
	return access, nil
}

// access returns the Access of a token. On an open hub, it returns an Access with all rights. The
// caller must call Done.
func (m *Middleware) access(ctx context.Context, r *http.Request, token string) (*tokenAccess, error) {
	rechecks := m.sessions.generation()
	credential, err := m.verify(ctx, r, token)
	if err != nil {
		return nil, err
	}
	session, err := m.sessions.acquire(credential, rechecks, m.config.Verifier)
	if err != nil {
		return nil, err
	}
	return &tokenAccess{middleware: m, session: session}, nil
}

// anonymous is the credential of all requests to an open hub.
var anonymous = &Credential{Grant: everything("anonymous")}

func (m *Middleware) verify(ctx context.Context, r *http.Request, token string) (*Credential, error) {
	switch {
	case m.config.Authorize != nil:
		return nil, ErrNotToken
	case m.config.Verifier == nil:
		return anonymous, nil
	case !isToken(token):
		return nil, ErrTokenSyntax
	}
	return m.config.Verifier.Verify(ctx, r, token)
}
