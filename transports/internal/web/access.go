package web

import (
	"context"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/problems"
)

// Access holds the rights of a request for as long as its token is valid. Package auth verifies the
// token; the transports use only this interface.
type Access interface {
	// Grant returns the current rights, or nil if there are none: the token is no longer valid, or
	// the request passed no authentication.
	Grant() *hub.Grant
	// Sender identifies the sender, for its share of receive memory: the token, or the client's
	// address if there is no token.
	Sender() string
	// Authorize returns the problem of a subscription to set, or nil if it may start or continue.
	Authorize(set hub.FilterSet) *problems.Problem
	// Acquire admits a connection. It counts toward the limits, and h is notified when the rights
	// change, until Release. AcquireUncounted does the same without counting.
	Acquire(h hub.Holder) *problems.Problem
	AcquireUncounted(h hub.Holder) *problems.Problem
	Release(h hub.Holder)
	// ReserveFilters counts the memory of the filters that h is about to subscribe to, instead of
	// those before, until Release. h must be acquired. If it returns a problem, nothing has
	// changed.
	ReserveFilters(h hub.Holder, set hub.FilterSet) *problems.Problem
	// AdmitSubscription counts one more start of a subscription toward the connect rate. Acquire
	// includes it.
	AdmitSubscription() *problems.Problem
	// AdmitPublish counts events about to be published, all or none.
	AdmitPublish(events int) *problems.Problem
	// WaitPublish blocks until some of the events may be published, and returns their number. The
	// error is that of ctx.
	WaitPublish(ctx context.Context, events int) (int, error)
	// Renew verifies a new token. Acquire of the returned Access takes over the connection held by
	// this one. Done must be called in any case.
	Renew(token string) (Access, *problems.Problem)
	Done()
}

// AccessFunc returns the Access of a request's context.
type AccessFunc func(context.Context) Access

// Authorize implements Access.Authorize for a known grant.
func Authorize(grant *hub.Grant, set hub.FilterSet) *problems.Problem {
	if grant != nil && set.Len() == 0 {
		return nil // nothing is read
	}
	return MaySubscribe(grant, set)
}
