package auth

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// queryTicket is the name of the query parameter that contains a ticket. Routes that use
// WrapSubscription accept a ticket instead of a token.
const queryTicket = "ticket"

// Ticket returns the handler of POST /ticket. The handler takes a token from Authorization: Bearer
// and answers with a ticket for it: {"ticket":"…","expires_in":30}. The handler checks Host and
// Origin itself, so it must not be passed to Wrap. An open hub requires no token, so its tickets
// have no effect.
func (m *Middleware) Ticket(refuse ErrorHandler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, proceed := m.admit(w, r, refuse)
		if !proceed {
			return
		}
		text, err := m.newTicket(r, query.values)
		if err != nil {
			if err == ErrTicketMethod {
				w.Header().Set("Allow", http.MethodPost)
			}
			refuse(w, r, err)
			return
		}
		boundBody(w, r)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"ticket": text, "expires_in": int(TicketLifetime / time.Second)})
	})
}

func (m *Middleware) newTicket(r *http.Request, query url.Values) (string, error) {
	if r.Method != http.MethodPost {
		return "", ErrTicketMethod
	}
	token, present, err := findToken(r, query)
	switch {
	case err != nil:
		return "", err
	case present && bearerToken(r) == nil:
		return "", ErrNotBearer
	case m.config.Tickets == nil:
		return "", ErrNotToken
	case m.config.Verifier == nil:
		return m.config.Tickets.newText(), nil
	case !present:
		return "", ErrNoToken
	}
	if _, err := m.verify(r.Context(), r, token); err != nil {
		return "", err
	}
	text, err := m.config.Tickets.Issue(token)
	if err != nil {
		m.sessions.refused[LimitTickets].Add(1)
	}
	return text, err
}

// redeem returns the token for the ticket in a request; present is false if there is no ticket.
func (m *Middleware) redeem(r *http.Request, query url.Values) (token string, present bool, err error) {
	tickets := query[queryTicket]
	if len(tickets) == 0 {
		return "", false, nil
	}
	if _, other, err := findToken(r, query); err != nil || other || len(tickets) > 1 {
		return "", false, ErrTwoTokens
	}
	if m.config.Verifier == nil {
		return "", false, nil
	}
	token, err = m.config.Tickets.Redeem(r.Context(), NetworkOf(m.config.Proxies.Client(r)), tickets[0])
	if limit, ok := errors.AsType[*LimitError](err); ok {
		m.sessions.refused[limit.Limit].Add(1)
	}
	return token, true, err
}
