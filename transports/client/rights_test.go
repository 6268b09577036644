//go:build !js

package client_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/trivium-hub/trivium/auth"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/internal/web"
	"github.com/trivium-hub/trivium/transports/problems"
)

// grant adds a token. After the first call, the rig requires a token.
func (r *rig) grant(token string, grant *auth.Grant) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tokens == nil {
		r.tokens = map[string]*tt.Token{}
	}
	r.tokens[token] = tt.NewToken(grant)
}

// revise changes the rights of a token. A nil grant revokes the token.
func (r *rig) revise(token string, grant *auth.Grant) {
	r.mu.Lock()
	t := r.tokens[token]
	r.mu.Unlock()
	t.SetGrant(grant)
}

// admit returns the access for the token of a request. It looks for the token in all places that
// the protocol allows (docs/protocol.md#authentication).
func (r *rig) admit(request *http.Request) (auth.Access, *problems.Problem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tokens == nil {
		return tt.NewToken(everything), nil
	}
	text, ok := strings.CutPrefix(request.Header.Get("Authorization"), "Bearer ")
	for _, protocol := range strings.Split(request.Header.Get("Sec-WebSocket-Protocol"), ",") {
		if bearer, is := strings.CutPrefix(strings.TrimSpace(protocol), "trivium.bearer."); is {
			text, ok = bearer, true
		}
	}
	if q := request.URL.Query(); q.Has("access_token") {
		text, ok = q.Get("access_token"), true
	}
	if q := request.URL.Query(); q.Has("ticket") {
		text, ok = r.tickets[q.Get("ticket")], true
		delete(r.tickets, q.Get("ticket"))
	}
	if !ok {
		return nil, problems.MissingToken()
	}
	t, known := r.tokens[text]
	switch {
	case !known:
		return nil, problems.InvalidToken("the token is not valid")
	case t.Grant() == nil:
		return nil, problems.TokenEnded()
	}
	return renewable{t, r}, nil
}

// issueTicket answers with a ticket that is valid once.
func (r *rig) issueTicket(w http.ResponseWriter, request *http.Request) {
	if _, problem := r.admit(request); problem != nil {
		web.WriteProblem(w, request, problem)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tickets == nil {
		r.tickets = map[string]string{}
	}
	ticket := "ticket-" + strconv.Itoa(r.requests["/ticket"])
	r.tickets[ticket] = strings.TrimPrefix(request.Header.Get("Authorization"), "Bearer ")
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"ticket":"` + ticket + `","expires_in":30}`))
}

// renewable is the access of a connection that may replace its token with another one of the rig.
type renewable struct {
	*tt.Token
	rig *rig
}

func (a renewable) Renew(_ context.Context, text string) (auth.Access, *problems.Problem) {
	a.rig.mu.Lock()
	defer a.rig.mu.Unlock()
	t, ok := a.rig.tokens[text]
	if !ok || t.Grant() == nil {
		return nil, problems.InvalidToken("the token is not valid")
	}
	return takeover{renewable{t, a.rig}, a.Token}, nil
}

// takeover is the access of a connection that has replaced its token. Its Acquire registers the connection
// with the new token and removes it from the old one.
type takeover struct {
	renewable
	old *tt.Token
}

func (a takeover) Acquire(h auth.Holder) *problems.Problem {
	problem := a.renewable.Acquire(h)
	if problem == nil {
		a.old.Release(h)
	}
	return problem
}
