package main

import (
	"context"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/web"
	"github.com/trivium-hub/trivium/transports/wire"
)

// access joins the guard, which knows no problems, with the transports, which know no tokens.
type access struct{ *auth.Access }

func accessFrom(ctx context.Context) web.Access { return access{auth.AccessFrom(ctx)} }

func (a access) Judge(set hub.FilterSet) *wire.Problem { return web.Judge(a.Grant(), set) }

func (a access) Hold(h hub.Holder) *wire.Problem { return refusal(a.Access.Hold(h)) }

func (a access) Filters(h hub.Holder, set hub.FilterSet) *wire.Problem {
	return refusal(a.Access.Filters(h, set))
}

func (a access) Watch(h hub.Holder) *wire.Problem { return refusal(a.Access.Watch(h)) }

func (a access) Subscribe() *wire.Problem { return refusal(a.Access.Subscribe()) }

func (a access) Publish(events int) *wire.Problem { return refusal(a.Access.Publish(events)) }

func (a access) Renew(token string) (web.Access, *wire.Problem) {
	fresh, err := a.Access.Renew(token)
	return access{fresh}, refusal(err)
}
