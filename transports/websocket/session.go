package websocket

import (
	"bytes"
	"context"
	"io"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

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
	policyViolation = int(websocket.StatusPolicyViolation)
	messageTooBig   = int(websocket.StatusMessageTooBig)
)

// session is one connection. All of it is owned by the reader, which alone changes it.
type session struct {
	h       *Handler
	ws      *websocket.Conn
	stream  *stream
	out     *outlet.Outlet
	access  web.Access
	filters []hub.Filter // as they were asked for; the subscription has them as a set
	pending hub.Start    // of ?subscribe=none: where the first subscribe begins
	refused bool         // for what the peer sent; it is counted
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
			s.refuse(notText)
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

// maxUnread bounds what is read of a peer that goes on sending after its connection has ended.
const maxUnread = 16 << 20 // bytes

// broken ends the connection after it could not be read on.
func (s *session) broken(err error) {
	if v := violationOf(err); v != nil {
		s.refuse(v)
	}
	if s.out.Ending() {
		// To close with something unread would reset the connection, and take the close frame
		// back from a peer that has not read it.
		s.stream.over()
		s.stream.awaitClose()
		_, _ = io.CopyN(io.Discard, s.stream.Conn, maxUnread)
	}
}

// refuse closes the connection for what the peer sent. Where the library has done so already, or
// the connection was ending, that stays.
func (s *session) refuse(v *violation) {
	if !s.refused {
		s.refused = true
		time.AfterFunc(closeTimeout, s.out.Close) // whether or not it has taken its last words
		s.h.cfg.Refusals.counts[v.reason].Add(1)
	}
	if v == tooFast {
		s.out.Fail(wire.RateLimited(v.text, 0))
		return
	}
	s.out.Finish(wire.AppendCloseFrame(nil, v.code, v.text))
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
		s.refuse(notUTF8)
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
