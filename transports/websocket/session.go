package websocket

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/connection"
	"github.com/trivium-hub/trivium/transports/web"
	"github.com/trivium-hub/trivium/transports/wire"
)

// Close codes without a problem (RFC 6455 section 7.4.1).
const (
	goingAway       = int(websocket.StatusGoingAway)
	protocolError   = int(websocket.StatusProtocolError)
	unsupportedData = int(websocket.StatusUnsupportedData)
	invalidPayload  = int(websocket.StatusInvalidFramePayloadData)
	policyViolation = int(websocket.StatusPolicyViolation)
	messageTooBig   = int(websocket.StatusMessageTooBig)
	tryAgainLater   = int(websocket.StatusTryAgainLater)
)

// session is one connection.
type session struct {
	// static after start

	h    *Handler
	conn net.Conn
	out  *connection.Writer

	// owned by whoever reads, one at a time

	access  web.Access
	filters []hub.Filter  // as they were asked for; the subscription has them as a set
	granted hub.FilterSet // what is read without filters: all that the token may; else empty
	pending *hub.Start    // of ?subscribe=none: where the first subscribe begins; nil: with the next event
	frames  frames
	deaf    bool // what comes is not looked at any more
	unread  int  // bytes of it

	arriving atomic.Pointer[arriving] // nil: no message that needs it
	ended    atomic.Bool              // the connection is closed
	expiry   *time.Timer              // closes, when the peer does not; guarded by the outlet's mutex
	ways     atomic.Int32             // of the two, those that are over; see over
}

func (s *session) say(message []byte) {
	s.out.WriteControl(wire.AppendTextFrame(nil, message))
}

// do carries out a command and acknowledges it. With an error nothing has changed.
func (s *session) do(c *wire.Command) error {
	switch c.Op {
	case wire.OpSubscribe:
		return s.subscribe(c)
	case wire.OpUnsubscribe:
		return s.unsubscribe(c)
	case wire.OpPublish:
		return s.publish(c)
	case wire.OpAuth:
		return s.auth(c)
	default: // ping; ParseCommand lets nothing else pass
		s.change(c, func(*hub.Subscription) {})
		return nil
	}
}

// change has the subscription changed at its exact position, and acknowledges it there.
func (s *session) change(c *wire.Command, f func(*hub.Subscription)) {
	s.out.Update(func(subscription *hub.Subscription) []byte {
		f(subscription)
		return wire.AppendTextFrame(nil, wire.AppendAck(nil, c.Ref, subscription.Place()))
	})
}

func (s *session) subscribe(c *wire.Command) error {
	start, err := c.Start(time.Now())
	if err != nil {
		return err
	}
	if len(c.Topics) == 0 {
		return wire.BadParameter("topic", "must be a filter or a list of filters")
	}
	if c.PositionMember() != "" && len(s.filters)+s.granted.Len() > 0 {
		return wire.BadParameter(c.PositionMember(), "may be given only while the connection has no topics")
	}
	filters, err := s.withFilters(c.Topics)
	if err != nil {
		return err
	}
	set := hub.NewFilterSet(filters...)
	if problem := web.MaySubscribe(s.access.Grant(), set); problem != nil {
		return problem
	}
	if c.PositionMember() == "" && s.pending != nil {
		start = *s.pending
	}
	if problem := s.access.ReserveFilters(s.out, set); problem != nil {
		return problem
	}
	s.filters, s.granted, s.pending = filters, hub.FilterSet{}, nil
	// Before the outlet is asked, for which the hub's workers would have to wait meanwhile.
	request := s.h.cfg.Hub.Locate(hub.Request{Filters: set, Start: start})
	s.change(c, func(subscription *hub.Subscription) {
		if start == (hub.Start{}) {
			subscription.SetFilters(set)
		} else {
			subscription.Restart(request)
		}
	})
	s.out.OnRightsChanged() // the grant may have changed since it was looked at
	return nil
}

func byText(a, b hub.Filter) int { return strings.Compare(a.String(), b.String()) }

// asked returns a copy of the connection's filters.
func (s *session) asked() []hub.Filter {
	if s.granted.Len() > 0 {
		return s.granted.Filters()
	}
	return slices.Clone(s.filters)
}

// withFilters returns the connection's filters and the new ones, each once.
func (s *session) withFilters(topics []string) ([]hub.Filter, error) {
	filters := s.asked()
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
			return nil, wire.BadParameter("topic", fmt.Sprintf("at most %d filters are allowed on a connection", limit))
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
			return wire.BadParameter("topic", "names a filter twice")
		}
		gone[topic] = true
	}
	filters := slices.DeleteFunc(s.asked(), func(f hub.Filter) bool { return gone[f.String()] })
	if len(filters) != len(s.filters)+s.granted.Len()-len(gone) {
		return wire.BadParameter("topic", "is not subscribed to")
	}
	set := hub.NewFilterSet(filters...)
	if problem := s.access.ReserveFilters(s.out, set); problem != nil {
		return problem
	}
	s.filters, s.granted = filters, hub.FilterSet{}
	s.change(c, func(subscription *hub.Subscription) { subscription.SetFilters(set) })
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
	var id hub.Cursor
	var err error
	if c.IdempotencyKey == "" {
		id, err = s.h.cfg.Hub.Publish(ctx, c.Event)
	} else {
		var receipt hub.Receipt
		receipt, err = s.h.cfg.Hub.PublishOnce(ctx, grant.Subject, c.IdempotencyKey, c.Event)
		id = receipt.Last
	}
	if err != nil {
		return err
	}
	s.say(wire.AppendAck(nil, c.Ref, id.String()))
	return nil
}

// auth takes a fresh token in the old one's place.
func (s *session) auth(c *wire.Command) error {
	fresh, problem := s.access.Renew(c.Token)
	if problem != nil {
		return problem
	}
	defer fresh.Done()
	if problem := s.out.Renew(fresh); problem != nil {
		return problem
	}
	s.access = fresh
	s.change(c, func(*hub.Subscription) {})
	return nil
}
