package client

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/trivium-hub/trivium/transports/wire"
)

// writeTimeout is how long a command may wait for room on its connection.
const writeTimeout = 10 * time.Second

// The subprotocols (docs/protocol.md#websocket).
const (
	protocolName   = "trivium.v1"
	protocolBearer = "trivium.bearer."
)

// normalClosure is the code of a goodbye (RFC 6455, section 7.4.1).
const normalClosure = 1000

// streamSocket is a subscription over a WebSocket (docs/protocol.md#websocket), and commands back to the hub.
type streamSocket struct {
	ctx    context.Context
	socket Socket
	once   sync.Once
}

func openSocket(ctx context.Context, c *conn, a ask) (stream, error) {
	q := a.query()
	if a.cursor != "" {
		q = q.with("cursor", a.cursor)
	}
	protocols := []string{protocolName}
	if token := c.token(); token != "" {
		protocols = append(protocols, protocolBearer+token)
	}
	address := "ws" + strings.TrimPrefix(c.client.address("/ws", q), "http")
	socket, err := c.client.platform.Dial(ctx, address, protocols)
	if handshake, ok := errors.AsType[*HandshakeError](err); ok {
		return nil, refusal(handshake.Response)
	}
	if errors.Is(err, errUntold) {
		err = c.whyNot(ctx, a, err)
	}
	if err != nil {
		return nil, err
	}
	return &streamSocket{ctx: ctx, socket: socket}, nil
}

// errUntold is a handshake's end on a platform that is not told why. A hub lets a page in whose
// origin it allows, to tell it; without an origin, as in Node.js, it answers.
var errUntold = errors.New("client: the WebSocket's handshake failed, and it is not told why")

// whyNot asks what a WebSocket was not told: whether the hub refuses this subscription.
func (n *conn) whyNot(ctx context.Context, a ask, err error) error {
	q := a.query()
	q = q.with("wait", "0")
	response, failure := n.get(ctx, "/poll", q, "application/json", a.cursor)
	if failure != nil {
		return err
	}
	if response.Status != 400 && response.Status != 401 && response.Status != 403 {
		_ = response.Body.Close() // it would be let in there
		return err
	}
	if p := refusal(response); p.Code != "" {
		return p
	}
	return err
}

func (s *streamSocket) next() (message, error) {
	for {
		text, err := s.socket.Read(s.ctx)
		if err != nil {
			return message{}, endOfSocket(err)
		}
		decoded, err := wire.DecodeMessage(text)
		if err != nil {
			return message{}, err
		}
		if m, ok, err := socketMessage(decoded); ok || err != nil {
			return m, err
		}
	}
}

// socketMessage: ok is false if the message is of a kind that is not known, and to be passed over.
func socketMessage(from wire.Message) (m message, ok bool, err error) {
	switch from.Op {
	case "":
		m, err = eventMessage(from.Event)
	case wire.OpHello:
		m, err = place(opened, from.ID)
		m.heartbeat = from.Heartbeat
	case wire.OpHeartbeat:
		m, err = place(position, from.ID)
	case wire.OpGap:
		m = gapMessage(from.Gap)
	case wire.OpAck:
		m = message{kind: accepted, ref: string(from.Ref)}
	case wire.OpError:
		m = problemMessage(from.Problem, 0)
		if from.Ref != nil {
			m.kind, m.ref = refused, string(from.Ref)
		}
	case wire.OpGoaway:
		m = message{kind: goaway, retry: from.Retry}
	default:
		return message{}, false, nil
	}
	return m, err == nil, err
}

// endOfSocket gives the closes that are a hub's own as the problems they stand for. Most often the
// problem itself has come before.
func endOfSocket(err error) error {
	end, ok := errors.AsType[*CloseError](err)
	if !ok {
		return err
	}
	switch end.Code {
	case 4400:
		return wire.BadRequest(end.Reason)
	case 4401:
		return wire.TokenEnded()
	case 4403:
		return wire.Forbidden(end.Reason)
	case 4408:
		return wire.TooSlow()
	case 1013:
		return wire.TooManyConnections(end.Reason, 0)
	}
	return end
}

// send sends a command.
func (s *streamSocket) send(command []byte) error {
	ctx, cancel := context.WithTimeout(s.ctx, writeTimeout)
	defer cancel()
	return s.socket.Write(ctx, command)
}

func (s *streamSocket) close() {
	s.once.Do(func() { s.socket.Close(normalClosure, "") })
}
