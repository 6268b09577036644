package client

import (
	"context"
	"errors"
	"io"
)

const (
	ticketPath      = "/ticket"
	maxTicketAnswer = 64 << 10 // bytes
)

var errNoTicket = errors.New("the hub's answer contains no ticket")

// ticket exchanges the token for a ticket, which replaces the token in the URL of one subscription.
// The logs of proxies therefore do not contain the token (docs/protocol.md#authentication). It
// returns "" if the hub does not offer tickets.
func (n *conn) ticket(ctx context.Context, token string) (string, error) {
	response, err := n.client.platform.Do(ctx, &Request{
		Method: "POST", URL: n.client.address(ticketPath, ""),
		Header: map[string]string{"Accept": "application/json", "Authorization": "Bearer " + token},
	})
	switch {
	case err != nil:
		return "", err
	case response.Status == 404, response.Status == 405:
		return "", response.Body.Close()
	case response.Status != 200 || mediaType(response) != "application/json":
		return "", problemOf(response)
	}
	defer func() { _ = response.Body.Close() }() // the body has been read
	body, err := io.ReadAll(io.LimitReader(response.Body, maxTicketAnswer))
	if err != nil {
		return "", err
	}
	ticket, err := StringMember(body, "ticket")
	if err == nil && ticket == "" {
		err = errNoTicket
	}
	return ticket, err
}
