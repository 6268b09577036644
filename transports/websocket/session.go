package websocket

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/outlet"
	"github.com/trivium-hub/trivium/transports/web"
	"github.com/trivium-hub/trivium/transports/wire"
)

// Close codes without a problem (RFC 6455 section 7.4.1).
const (
	goingAway       = int(websocket.StatusGoingAway)
	protocolError   = int(websocket.StatusProtocolError)
	unsupportedData = int(websocket.StatusUnsupportedData)
	invalidPayload  = int(websocket.StatusInvalidFramePayloadData)
)

// session is one connection. All of it is owned by the reader, which alone changes it.
type session struct {
	h       *Handler
	ws      *websocket.Conn
	stream  *stream
	out     *outlet.Outlet
	access  web.Access
	limiter *rate.Limiter
	filters []hub.Filter // as they were asked for; the subscription has them as a set
	pending hub.Start    // of ?subscribe=none: where the first subscribe begins
}

// read carries out the client's messages until the connection ends.
func (s *session) read() {
	defer release(s.ws)
	for {
		kind, reader, err := s.ws.Reader(context.Background())
		if err != nil {
			s.broken(err)
			return
		}
		switch {
		case s.out.Ending():
		case kind != websocket.MessageText:
			s.close(unsupportedData, "messages are text")
		case !s.limiter.Allow():
			s.out.Fail(wire.RateLimited("too many messages a second", 0))
		default:
			err = s.message(reader)
		}
		if err == nil && s.out.Ending() {
			_, err = io.Copy(io.Discard, reader) // up to the peer's own close frame nothing counts
		}
		if err != nil {
			s.broken(err)
			return
		}
	}
}

// broken ends the connection after the library could not read on. It has sent a close frame for
// most errors of the peer, but not for all.
func (s *session) broken(err error) {
	var gone net.Error
	lost := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.As(err, &gone)
	if !lost && websocket.CloseStatus(err) == -1 {
		s.close(protocolError, "protocol error")
	}
	if s.out.Ending() {
		// To close with something unread would reset the connection, and take the close frame
		// back from a peer that has not read it. The outlet sets the deadline.
		s.stream.over()
		_, _ = io.Copy(io.Discard, s.stream)
	}
}

func (s *session) close(code int, reason string) {
	s.out.Finish(wire.AppendCloseFrame(nil, code, reason))
}

var messages = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// message reads and carries out one message. The error is of the connection.
func (s *session) message(r io.Reader) error {
	buffer := messages.Get().(*bytes.Buffer)
	defer messages.Put(buffer)
	buffer.Reset()
	if _, err := buffer.ReadFrom(r); err != nil {
		return err
	}
	if !utf8.Valid(buffer.Bytes()) {
		s.close(invalidPayload, "text is UTF-8")
		return nil
	}
	command, err := wire.ParseCommand(buffer.Bytes())
	if err == nil {
		err = s.do(&command)
	}
	if err != nil {
		s.say(wire.AppendError(nil, command.Ref, wire.ProblemOf(err)))
	}
	return nil
}

func (s *session) say(message []byte) {
	s.out.Send(wire.AppendTextFrame(nil, message))
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
	s.out.Do(func(subscription *hub.Subscription) []byte {
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
	if c.Position() != "" && len(s.filters) > 0 {
		return wire.BadParameter(c.Position(), "may be given only while the connection has no topics")
	}
	filters := slices.Clone(s.filters)
	for _, topic := range c.Topics {
		f, err := hub.ParseFilter(topic)
		if err != nil {
			return err
		}
		if !slices.Contains(filters, f) {
			filters = append(filters, f)
		}
	}
	if limit := s.h.cfg.MaxTopics; limit > 0 && len(filters) > limit {
		return wire.BadParameter("topic", "too many topics on this connection")
	}
	set := hub.NewFilterSet(filters...)
	if problem := web.MaySubscribe(s.access.Grant(), set); problem != nil {
		return problem
	}
	if problem := s.access.Subscribe(); problem != nil {
		return problem
	}
	if c.Position() == "" {
		start = s.pending
	}
	s.filters, s.pending = filters, hub.Start{}
	s.change(c, func(subscription *hub.Subscription) {
		if start == (hub.Start{}) {
			subscription.SetFilters(set)
		} else {
			subscription.Restart(hub.Request{Filters: set, Start: start})
		}
	})
	s.out.Revise() // the grant may have changed since it was looked at
	return nil
}

func (s *session) unsubscribe(c *wire.Command) error {
	filters := slices.Clone(s.filters)
	for _, topic := range c.Topics {
		i := slices.IndexFunc(filters, func(f hub.Filter) bool { return f.String() == topic })
		if i < 0 {
			return wire.BadParameter("topic", "is not subscribed to")
		}
		filters = slices.Delete(filters, i, i+1)
	}
	s.filters = filters
	set := hub.NewFilterSet(filters...)
	s.change(c, func(subscription *hub.Subscription) { subscription.SetFilters(set) })
	return nil
}

func (s *session) publish(c *wire.Command) error {
	grant := s.access.Grant()
	if problem := web.MayPublish(grant, c.Event.Topic); problem != nil {
		return problem
	}
	if problem := s.access.Publish(1); problem != nil {
		return problem
	}
	var id hub.Cursor
	var err error
	if c.IdempotencyKey == "" {
		id, err = s.h.cfg.Hub.Publish(context.Background(), c.Event)
	} else {
		var receipt hub.Receipt
		receipt, err = s.h.cfg.Hub.PublishOnce(context.Background(), grant.Subject, c.IdempotencyKey, c.Event)
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
