package auth

import (
	"context"
	"net/http"
	"net/url"
)

// Config is what a Guard goes by.
type Config struct {
	// Verifier judges tokens. Nil leaves the hub open: every request may do everything, and a
	// token is not looked into, nor is a cookie. One that stands in two places is refused even
	// then, so that a client made against an open hub works with a closed one.
	Verifier Verifier
	// Authorize, if it is set, decides what a request may do, in place of a token and Verifier. The program
	// that embeds the hub reads its own session or certificate there. An error refuses the request.
	Authorize func(*http.Request) (*Credential, error)
	// Hosts are the names by which the hub may be reached; nil: any. An open hub and the admin
	// listener need them, as there a page needs no token to do harm.
	Hosts *HostPolicy
	// Limits are of all connections together; a token's own come with its credential.
	Limits ConnectionLimits
	// Origins are the pages of other origins that may ask; nil: none.
	Origins *Origins
	// Proxies are believed what they say of the client; nil: none.
	Proxies *Proxies
	// CrossSite says what becomes of a request without an Origin that another site's page makes, as
	// an <img> does.
	CrossSite CrossSite
}

// CrossSite is a policy for requests that have no Origin, but whose browser says in Sec-Fetch-Site that
// they come from a page of another origin. Such a page cannot read the answer. Where no token is
// needed, the request may do harm all the same.
type CrossSite int

// Policies for cross-site requests without an Origin.
const (
	CrossSiteAllowed CrossSite = iota
	// CrossSiteNavigation refuses all but those that lead the user to another page, as a link does.
	CrossSiteNavigation
	// CrossSiteRefused refuses all.
	CrossSiteRefused
)

// Guard judges requests before they reach a transport, and what they hold after.
type Middleware struct {
	config   Config
	sessions *sessionTable
}

// New makes a Guard. Without Run, tokens that end do so for new requests alone.
func New(config Config) *Middleware {
	return &Middleware{config: config, sessions: newLeases(config.Limits)}
}

// Run ends what is held by tokens whose time has come, until ctx ends.
func (m *Middleware) Run(ctx context.Context) { m.sessions.run(ctx) }

// Review has all tokens in use judged again; it is to be called when what the Verifier goes by has
// changed. Who has lost its token or a right has been told when it returns.
func (m *Middleware) Recheck() {
	if m.config.Verifier != nil {
		m.sessions.review(m.config.Verifier)
	}
}

// Refuse answers a request that is refused, for one of the reasons of this package or an error of
// the Verifier.
type ErrorHandler func(w http.ResponseWriter, r *http.Request, reason error)

// Middleware lets pass what may go on, with its grant in the context, and hands the rest to
// refuse; preflights it answers itself, so they must reach it. The headers of CORS are set before
// either. It fits mux.Router.Use.
func (m *Middleware) Wrap(refuse ErrorHandler) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			query, goesOn := m.admit(w, r, refuse)
			if !goesOn {
				return
			}
			access, err := m.judge(r, query)
			if err != nil {
				refuse(w, r, err)
				return
			}
			defer access.Done()
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), accessKey{}, access)))
		})
	}
}

// admit judges Host and Origin, and sets the headers that follow from them and from the query. What
// does not go on has been answered: refused, or a preflight.
func (m *Middleware) admit(w http.ResponseWriter, r *http.Request, refuse ErrorHandler) (query url.Values, goesOn bool) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || query.Has(queryToken) {
		// A query that does not parse may hold a token all the same.
		w.Header().Set("Referrer-Policy", "no-referrer")
	}
	if err := m.config.Hosts.Check(r); err != nil {
		refuse(w, r, err)
		return nil, false
	}
	switch m.pageOf(r) {
	case foreignPage:
		m.config.Origins.vary(w)
		refuse(w, r, &OriginError{Origins: r.Header["Origin"], Own: m.ownOrigin(r)})
		return nil, false
	case samePage: // it needs no leave, and its browser asks for none
		m.config.Origins.vary(w)
		return query, true
	case noPage:
		if !m.config.CrossSite.allows(r) {
			refuse(w, r, &OriginError{Own: m.ownOrigin(r)})
			return nil, false
		}
	}
	return query, m.config.Origins.share(w, r)
}

// judge gives what a request may do that was admitted, or why it may do nothing.
func (m *Middleware) judge(r *http.Request, query url.Values) (*Access, error) {
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
	access, err := m.access(token)
	if err != nil {
		return nil, err
	}
	access.network = NetworkOf(m.config.Proxies.Client(r))
	return access, nil
}

// access gives what a token opens, wherever it came from; of an open hub, everything. Done must
// follow.
func (m *Middleware) access(token string) (*Access, error) {
	reviews := m.sessions.reviewed()
	credential, err := m.verify(token)
	if err != nil {
		return nil, err
	}
	lease, err := m.sessions.of(credential, reviews, m.config.Verifier)
	if err != nil {
		return nil, err
	}
	return &Access{middleware: m, session: lease}, nil
}

// anonymous is everybody, where the hub is open.
var anonymous = &Credential{Grant: everything("anonymous")}

func (m *Middleware) verify(token string) (*Credential, error) {
	switch {
	case m.config.Authorize != nil:
		return nil, ErrNotToken
	case m.config.Verifier == nil:
		return anonymous, nil
	case !validToken(token):
		return nil, ErrTokenSyntax
	}
	return m.config.Verifier.Verify(token)
}

type accessKey struct{}

// AccessFrom gives what the request of the context may do; nil if no Guard has let it pass.
func AccessFrom(ctx context.Context) *Access {
	access, _ := ctx.Value(accessKey{}).(*Access)
	return access
}
