package web

import (
	"context"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/wire"
)

// Access is what a request may do, for as long as its token holds. Who judged the token is not the
// transports' business.
type Access interface {
	// Grant is what may be done now; nil: nothing any more, or nobody has judged the request.
	Grant() *hub.Grant
	// Sender names who sends, for its share of what the hub receives: the token, or the address
	// where there is none.
	Sender() string
	// Judge says what is to be told to a subscriber of the set; nil: it may go on.
	Authorize(set hub.FilterSet) *wire.Problem
	// Hold lets a connection in: it counts toward the limits, and h is told when what is granted
	// changes, until Release. Watch is the same for what does not count.
	Acquire(h hub.Holder) *wire.Problem
	AcquireUncounted(h hub.Holder) *wire.Problem
	Release(h hub.Holder)
	// Filters counts the memory of the filters that h, which is held, is about to subscribe to, in place of
	// what it subscribed to before, until Release. With a problem nothing has changed.
	ReserveFilters(h hub.Holder, set hub.FilterSet) *wire.Problem
	// Subscribe counts one more beginning of a subscription; Hold does so itself.
	AdmitSubscription() *wire.Problem
	// Publish counts events that are about to be published, all or none.
	AdmitPublish(events int) *wire.Problem
	// AwaitPublish waits until some of the events may be published, and says how many. The error
	// is of ctx.
	WaitPublish(ctx context.Context, events int) (int, error)
	// Renew judges a fresh token. Hold of what it gives takes over the connection that is held; Done
	// must follow, held or not.
	Renew(token string) (Access, *wire.Problem)
	Done()
}

// AccessFunc gives what the request of the context may do.
type AccessFunc func(context.Context) Access

// Judge is Access.Judge for one whose grant is known.
func Authorize(grant *hub.Grant, set hub.FilterSet) *wire.Problem {
	if grant != nil && set.Len() == 0 {
		return nil // it reads nothing
	}
	return MaySubscribe(grant, set)
}
