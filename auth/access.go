package auth

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/problems"
)

// Access holds the rights of one request while its token is valid. A Middleware puts an Access into
// the request's context; transports use nothing else of this package. An Access is safe for
// concurrent use, except that Acquire and Release of one holder must not run concurrently.
type Access interface {
	// Grant returns the current rights, or nil if there are none: the token is no longer valid, or
	// no Middleware has handled the request.
	Grant() *Grant
	// Sender returns an identifier of the sender. All requests with the same identifier share a
	// limit on the memory for received data. The identifier is derived from the token or, without a
	// token, from the client's address.
	Sender() string
	// Client returns the client's address. It returns the zero Addr if the address is unknown.
	Client() netip.Addr
	// Acquire admits a connection and counts it toward the limits. Until Release, h is notified
	// when the rights change. AcquireUncounted does the same without counting.
	Acquire(h Holder) *problems.Problem
	AcquireUncounted(h Holder) *problems.Problem
	Release(h Holder)
	// SetIdle marks h as idle. h must have acquired this Access. If another connection would exceed
	// a limit, h may be released and notified to make room.
	SetIdle(h Holder)
	// ReserveFilters counts the memory of the filters to which h is about to subscribe. They are
	// counted until h is released, or until another call replaces them. h must have acquired this
	// Access. If ReserveFilters returns a problem, the counts are unchanged.
	ReserveFilters(h Holder, set hub.FilterSet) *problems.Problem
	// AdmitSubscription counts a further subscription of a connection toward the connect rate.
	// Acquire counts the first subscription.
	AdmitSubscription() *problems.Problem
	// AdmitPublish counts events that are about to be published toward the publish rate. It admits
	// all of the events or none.
	AdmitPublish(events int) *problems.Problem
	// WaitPublish blocks until at least one of the events may be published, and returns how many of
	// them may be published. If ctx ends first, it returns the error of ctx.
	WaitPublish(ctx context.Context, events int) (int, error)
	// Renew verifies a new token for a connection, and returns the Access of that token. The
	// connection keeps this Access until it acquires the returned one. The caller must call Done on
	// the returned Access, even if the connection does not acquire it.
	Renew(ctx context.Context, token string) (Access, *problems.Problem)
	Done()
}

// Holder is a connection or a waiting request that has acquired an Access.
type Holder interface {
	// OnRightsChanged is called when the grant has changed or ended. It must not block. It may be
	// called from any goroutine. It may be called once more after Release has returned.
	OnRightsChanged()
}

// requestContext is the context of a request that has an Access.
type requestContext struct {
	context.Context
	access Access
	query  parsedQuery
}

// parsedQuery is the query of a URL.
type parsedQuery struct {
	raw    string
	values url.Values // the well-formed parameters, even if err is not nil
	err    error
}

type requestKey struct{}

// Value implements context.Context.
func (c *requestContext) Value(key any) any {
	if key == (requestKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// WithAccess returns a context with the Access, for a program that authenticates requests itself,
// without a Middleware.
func WithAccess(ctx context.Context, access Access) context.Context {
	return &requestContext{Context: ctx, access: access}
}

// AccessFrom returns the Access in a context. If there is none, it returns an Access without any
// rights.
func AccessFrom(ctx context.Context) Access {
	if c, ok := ctx.Value(requestKey{}).(*requestContext); ok {
		return c.access
	}
	return noAccess{}
}

// Query returns the query parameters of the request's URL. The caller must not modify the map,
// because all handlers of the request share it. Unlike URL.Query, it returns an error for a
// malformed query.
func Query(r *http.Request) (url.Values, error) {
	c, ok := r.Context().Value(requestKey{}).(*requestContext)
	if !ok || c.query.values == nil || c.query.raw != r.URL.RawQuery { // an earlier handler may have changed the URL
		return url.ParseQuery(r.URL.RawQuery)
	}
	return c.query.values, c.query.err
}

// noAccess is the Access of a request that no Middleware has handled. It permits nothing.
type noAccess struct{}

func (noAccess) Grant() *Grant                             { return nil }
func (noAccess) Sender() string                            { return "" }
func (noAccess) Client() netip.Addr                        { return netip.Addr{} }
func (noAccess) Acquire(Holder) *problems.Problem          { return problems.MissingToken() }
func (noAccess) AcquireUncounted(Holder) *problems.Problem { return problems.MissingToken() }
func (noAccess) Release(Holder)                            {}
func (noAccess) SetIdle(Holder)                            {}
func (noAccess) AdmitSubscription() *problems.Problem      { return problems.MissingToken() }
func (noAccess) AdmitPublish(int) *problems.Problem        { return problems.MissingToken() }
func (noAccess) Done()                                     {}

func (noAccess) ReserveFilters(Holder, hub.FilterSet) *problems.Problem {
	return problems.MissingToken()
}

func (noAccess) WaitPublish(context.Context, int) (int, error) { return 0, ErrNoToken }

func (noAccess) Renew(context.Context, string) (Access, *problems.Problem) {
	return nil, problems.MissingToken()
}

// The following methods of Access convert errors to problems.

func (a *tokenAccess) Acquire(h Holder) *problems.Problem { return ProblemOf(a.acquire(h)) }

func (a *tokenAccess) AcquireUncounted(h Holder) *problems.Problem {
	return ProblemOf(a.acquireUncounted(h))
}

func (a *tokenAccess) ReserveFilters(h Holder, set hub.FilterSet) *problems.Problem {
	return ProblemOf(a.reserveFilters(h, set))
}

func (a *tokenAccess) AdmitSubscription() *problems.Problem { return ProblemOf(a.admitSubscription()) }

func (a *tokenAccess) AdmitPublish(events int) *problems.Problem {
	return ProblemOf(a.admitPublish(events))
}

func (a *tokenAccess) Renew(ctx context.Context, token string) (Access, *problems.Problem) {
	fresh, err := a.renew(ctx, token)
	if err != nil {
		return nil, ProblemOf(err)
	}
	return fresh, nil
}
