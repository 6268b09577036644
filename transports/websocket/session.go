package websocket

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
	"github.com/trivium-hub/trivium/transports/internal/web"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
)

// Close codes that do not belong to a problem (RFC 6455 section 7.4.1).
const (
	goingAway       = int(websocket.StatusGoingAway)
	protocolError   = int(websocket.StatusProtocolError)
	unsupportedData = int(websocket.StatusUnsupportedData)
	invalidPayload  = int(websocket.StatusInvalidFramePayloadData)
	policyViolation = int(websocket.StatusPolicyViolation)
	messageTooBig   = int(websocket.StatusMessageTooBig)
	tryAgainLater   = int(websocket.StatusTryAgainLater)
)

// session reads from one connection and executes the client's commands.
type session struct {
	// Static after start.

	h    *Handler
	conn lingeringConn
	out  *connection.Writer

	// Owned by the goroutine that reads; there is only one at a time.

	access       auth.Access
	filters      []hub.Filter  // filters that the client has requested
	grantedSet   hub.FilterSet // if the client has requested no filter: everything that the token may read; otherwise empty
	pendingStart *hub.Start    // start position in the URL for the first subscribe command, after ?subscribe=none; nil: none
	frames       frameReader
	discardInput bool // whether further input is discarded
	discarded    int  // number of discarded bytes

	incoming        atomic.Pointer[incomingMessage] // nil: there is no incomplete message, or it is small
	ended           atomic.Bool                     // whether the connection is closed
	closeTimer      *time.Timer                     // closes the connection if the peer does not; guarded by Writer.mu of out
	endedDirections atomic.Int32                    // number of calls of directionEnded
}

// writeMessage writes a message that does not end the stream.
func (s *session) writeMessage(m wire.Message) {
	s.out.WriteControl(wire.AppendTextFrame(nil, m.AppendJSON(nil)))
}

// execute executes a command and sends its acknowledgment. If execute returns an error, the command has
// changed nothing.
func (s *session) execute(c *wire.Command) error {
	switch c.Op {
	case wire.OpSubscribe:
		return s.subscribe(c)
	case wire.OpUnsubscribe:
		return s.unsubscribe(c)
	case wire.OpPublish:
		return s.publish(c)
	case wire.OpAuth:
		return s.renewToken(c)
	default: // wire.OpPing, because ParseCommand refuses all other operations
		s.updateSubscription(c, func(*hub.Subscription) {})
		return nil
	}
}

// updateSubscription calls f, which may change the subscription, and acknowledges the command with the
// subscription's position.
func (s *session) updateSubscription(c *wire.Command, f func(*hub.Subscription)) {
	s.out.Update(func(subscription *hub.Subscription) []byte {
		f(subscription)
		return codec{}.AppendMessage(nil, wire.Message{Op: wire.OpAck, Ref: c.Ref, ID: subscription.Cursor()})
	})
}

func (s *session) subscribe(c *wire.Command) error {
	start, err := c.Start(time.Now())
	if err != nil {
		return err
	}
	if len(c.Topics) == 0 {
		return problems.BadParameter("topic", "must be a filter or a list of filters")
	}
	if c.PositionMember() != "" && len(s.filters)+s.grantedSet.Len() > 0 {
		return problems.BadParameter(c.PositionMember(), "may be given only while the connection has no topics")
	}
	filters, err := s.withFilters(c.Topics)
	if err != nil {
		return err
	}
	set := hub.NewFilterSet(filters...)
	if problem := s.access.Grant().CheckSubscription(set); problem != nil {
		return problem
	}
	if c.PositionMember() == "" && s.pendingStart != nil {
		start = *s.pendingStart
	}
	if problem := s.access.ReserveFilters(s.out, set); problem != nil {
		return problem
	}
	s.filters, s.grantedSet, s.pendingStart = filters, hub.FilterSet{}, nil
	// Locate may take a long time. It is called before updateSubscription, during which the hub's fan-out
	// workers must wait for this connection.
	request := s.h.cfg.Hub.Locate(hub.Request{Filters: set, Start: start})
	s.updateSubscription(c, func(subscription *hub.Subscription) {
		if start == (hub.Start{}) {
			subscription.SetFilters(set)
		} else {
			subscription.Restart(request)
		}
	})
	s.out.OnRightsChanged() // the rights may have changed after CheckSubscription
	return nil
}

func byText(a, b hub.Filter) int { return strings.Compare(a.String(), b.String()) }

// currentFilters returns a copy of the connection's filters.
func (s *session) currentFilters() []hub.Filter {
	if s.grantedSet.Len() > 0 {
		return s.grantedSet.Filters()
	}
	return slices.Clone(s.filters)
}

// withFilters returns the connection's filters together with the filters in topics, without duplicates.
func (s *session) withFilters(topics []string) ([]hub.Filter, error) {
	filters := s.currentFilters()
	known := make(map[string]bool, len(filters)+len(topics))
	for _, f := range filters {
		known[f.String()] = true
	}
	limit := s.h.cfg.MaxTopics
	for _, topic := range topics {
		f, err := hub.ParseFilter(topic)
		switch {
		case err != nil:
			return nil, err
		case known[topic]:
			continue
		case limit > 0 && len(filters) >= limit:
			return nil, problems.BadParameter("topic", fmt.Sprintf("at most %d filters are allowed on a connection", limit))
		}
		known[topic] = true
		filters = append(filters, f)
	}
	return filters, nil
}

func (s *session) unsubscribe(c *wire.Command) error {
	gone := make(map[string]bool, len(c.Topics))
	for _, topic := range c.Topics {
		if gone[topic] {
			return problems.BadParameter("topic", "contains a filter twice")
		}
		gone[topic] = true
	}
	filters := slices.DeleteFunc(s.currentFilters(), func(f hub.Filter) bool { return gone[f.String()] })
	if len(filters) != len(s.filters)+s.grantedSet.Len()-len(gone) {
		return problems.BadParameter("topic", "contains a filter that the connection is not subscribed to")
	}
	set := hub.NewFilterSet(filters...)
	if problem := s.access.ReserveFilters(s.out, set); problem != nil {
		return problem
	}
	s.filters, s.grantedSet = filters, hub.FilterSet{}
	s.updateSubscription(c, func(subscription *hub.Subscription) { subscription.SetFilters(set) })
	return nil
}

func (s *session) publish(c *wire.Command) error {
	grant := s.access.Grant()
	if problem := web.MayPublish(grant, c.Event.Topic); problem != nil {
		return problem
	}
	if problem := s.access.AdmitPublish(1); problem != nil {
		return problem
	}
	ctx := hub.WithPublisher(context.Background(), grant.Subject)
	if c.IdempotencyKey == "" {
		id, err := s.h.cfg.Hub.Publish(ctx, c.Event)
		return s.published(c, id, 1, err)
	}
	claim, err := s.h.cfg.Hub.ClaimKey(grant.Subject, c.IdempotencyKey)
	if err != nil {
		return err
	}
	count := uint64(1)
	if claim.Known() {
		count = 0
	}
	receipt, err := claim.Publish(ctx, c.Event)
	return s.published(c, receipt.Last, count, err)
}

// published handles the result of a publish: if err is nil, it counts the new events and acknowledges the
// command, otherwise it returns err.
func (s *session) published(c *wire.Command, id hub.Cursor, count uint64, err error) error {
	if err != nil {
		return err
	}
	if s.h.cfg.Published != nil {
		s.h.cfg.Published.Add(count)
	}
	s.writeMessage(wire.Message{Op: wire.OpAck, Ref: c.Ref, ID: id.String()})
	return nil
}

// renewToken replaces the connection's token.
func (s *session) renewToken(c *wire.Command) error {
	fresh, problem := s.access.Renew(context.Background(), c.Token) // the context of the handshake request has ended
	if problem != nil {
		return problem
	}
	defer fresh.Done()
	if problem := s.out.Renew(fresh); problem != nil {
		return problem
	}
	s.access = fresh
	s.updateSubscription(c, func(*hub.Subscription) {})
	return nil
}
