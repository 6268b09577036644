package auth

import (
	"context"
	"net/http"
	"net/url"

	"github.com/trivium-hub/trivium/hub"
)

// Config is what a Guard goes by.
type Config struct {
	// Verifier judges tokens. Nil leaves the hub open: every request may do everything, and a
	// token is not looked into. One that stands in two places is refused even then, so that a
	// client made against an open hub works with a closed one.
	Verifier Verifier
	// Hosts are the names by which the hub may be reached; nil: any. An open hub and the admin
	// listener need them, as there a page needs no token to do harm.
	Hosts *HostPolicy
}

// Guard judges requests before they reach a transport.
type Guard struct {
	config Config
}

// New makes a Guard.
func New(config Config) *Guard { return &Guard{config: config} }

// Refuse answers a request that is refused, for one of the reasons of this package or an error of
// the Verifier.
type Refuse func(w http.ResponseWriter, r *http.Request, reason error)

// Middleware lets pass what may go on, with its grant in the context, and hands the rest to
// refuse. It fits mux.Router.Use.
func (g *Guard) Middleware(refuse Refuse) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			query, err := url.ParseQuery(r.URL.RawQuery)
			if err != nil || query.Has(queryToken) {
				// A query that does not parse may hold a token all the same.
				w.Header().Set("Referrer-Policy", "no-referrer")
			}
			grant, err := g.judge(r, query)
			if err != nil {
				refuse(w, r, err)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), grantKey{}, grant)))
		})
	}
}

// judge gives the grant of the request, or why it has none.
func (g *Guard) judge(r *http.Request, query url.Values) (*hub.Grant, error) {
	if err := g.config.Hosts.Check(r); err != nil {
		return nil, err
	}
	if err := checkOrigin(r); err != nil {
		return nil, err
	}
	token, present, err := findToken(r, query)
	switch {
	case err != nil:
		return nil, err
	case !present && g.config.Verifier != nil:
		return nil, ErrNoToken
	}
	return g.Verify(token)
}

// Verify gives the grant of a token, wherever it came from; of an open hub, everything.
func (g *Guard) Verify(token string) (*hub.Grant, error) {
	switch {
	case g.config.Verifier == nil:
		return everything("anonymous"), nil
	case !validToken(token):
		return nil, ErrTokenSyntax
	}
	credential, err := g.config.Verifier.Verify(token)
	if err != nil {
		return nil, err
	}
	return credential.Grant, nil
}

type grantKey struct{}

// GrantFrom gives what the request of the context may do; nil if no Guard has let it pass.
func GrantFrom(ctx context.Context) *hub.Grant {
	grant, _ := ctx.Value(grantKey{}).(*hub.Grant)
	return grant
}
