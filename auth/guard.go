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
type Guard struct {
	config Config
	leases *leases
}

// New makes a Guard. Without Run, tokens that end do so for new requests alone.
func New(config Config) *Guard {
	return &Guard{config: config, leases: newLeases(config.Limits)}
}

// Run ends what is held by tokens whose time has come, until ctx ends.
func (g *Guard) Run(ctx context.Context) { g.leases.run(ctx) }

// Review has all tokens in use judged again; it is to be called when what the Verifier goes by has
// changed. Who has lost its token or a right has been told when it returns.
func (g *Guard) Review() {
	if g.config.Verifier != nil {
		g.leases.review(g.config.Verifier)
	}
}

// Refuse answers a request that is refused, for one of the reasons of this package or an error of
// the Verifier.
type Refuse func(w http.ResponseWriter, r *http.Request, reason error)

// Middleware lets pass what may go on, with its grant in the context, and hands the rest to
// refuse; preflights it answers itself, so they must reach it. The headers of CORS are set before
// either. It fits mux.Router.Use.
func (g *Guard) Middleware(refuse Refuse) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			query, goesOn := g.admit(w, r, refuse)
			if !goesOn {
				return
			}
			access, err := g.judge(r, query)
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
func (g *Guard) admit(w http.ResponseWriter, r *http.Request, refuse Refuse) (query url.Values, goesOn bool) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || query.Has(queryToken) {
		// A query that does not parse may hold a token all the same.
		w.Header().Set("Referrer-Policy", "no-referrer")
	}
	if err := g.config.Hosts.Check(r); err != nil {
		refuse(w, r, err)
		return nil, false
	}
	switch g.pageOf(r) {
	case foreignPage:
		g.config.Origins.vary(w)
		refuse(w, r, &OriginError{Origins: r.Header["Origin"], Own: g.ownOrigin(r)})
		return nil, false
	case samePage: // it needs no leave, and its browser asks for none
		g.config.Origins.vary(w)
		return query, true
	case noPage:
		if !g.config.CrossSite.allows(r) {
			refuse(w, r, &OriginError{Own: g.ownOrigin(r)})
			return nil, false
		}
	}
	return query, g.config.Origins.share(w, r)
}

// judge gives what a request may do that was admitted, or why it may do nothing.
func (g *Guard) judge(r *http.Request, query url.Values) (*Access, error) {
	token, present, err := findToken(r, query)
	if err == nil && !present && g.config.Verifier != nil {
		token, present, err = g.findCookie(r)
		if err == nil && !present {
			token, present = g.findBasic(r)
		}
	}
	switch {
	case err != nil:
		return nil, err
	case !present && g.config.Verifier != nil:
		return nil, ErrNoToken
	}
	access, err := g.access(token)
	if err != nil {
		return nil, err
	}
	access.network = NetworkOf(g.config.Proxies.Client(r))
	return access, nil
}

// access gives what a token opens, wherever it came from; of an open hub, everything. Done must
// follow.
func (g *Guard) access(token string) (*Access, error) {
	reviews := g.leases.reviewed()
	credential, err := g.verify(token)
	if err != nil {
		return nil, err
	}
	lease, err := g.leases.of(credential, reviews, g.config.Verifier)
	if err != nil {
		return nil, err
	}
	return &Access{guard: g, lease: lease}, nil
}

// anonymous is everybody, where the hub is open.
var anonymous = &Credential{Grant: everything("anonymous")}

func (g *Guard) verify(token string) (*Credential, error) {
	switch {
	case g.config.Verifier == nil:
		return anonymous, nil
	case !validToken(token):
		return nil, ErrTokenSyntax
	}
	return g.config.Verifier.Verify(token)
}

type accessKey struct{}

// AccessFrom gives what the request of the context may do; nil if no Guard has let it pass.
func AccessFrom(ctx context.Context) *Access {
	access, _ := ctx.Value(accessKey{}).(*Access)
	return access
}
