package transports

import (
	"context"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/web"
	"github.com/trivium-hub/trivium/transports/problems"
)

// access is the web.Access of an auth.Access: it returns problems in place of auth's errors.
type access struct{ *auth.Access }

func accessFrom(ctx context.Context) web.Access { return access{auth.AccessFrom(ctx)} }

func (a access) Authorize(set hub.FilterSet) *problems.Problem { return web.Authorize(a.Grant(), set) }

func (a access) Acquire(h hub.Holder) *problems.Problem { return problemOf(a.Access.Acquire(h)) }

func (a access) ReserveFilters(h hub.Holder, set hub.FilterSet) *problems.Problem {
	return problemOf(a.Access.ReserveFilters(h, set))
}

func (a access) AcquireUncounted(h hub.Holder) *problems.Problem {
	return problemOf(a.Access.AcquireUncounted(h))
}

func (a access) AdmitSubscription() *problems.Problem {
	return problemOf(a.Access.AdmitSubscription())
}

func (a access) AdmitPublish(events int) *problems.Problem {
	return problemOf(a.Access.AdmitPublish(events))
}

func (a access) Renew(token string) (web.Access, *problems.Problem) {
	fresh, err := a.Access.Renew(token)
	return access{fresh}, problemOf(err)
}
