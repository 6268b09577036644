package client

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
)

// writeTimeout is the time within which the connection must accept a command.
const writeTimeout = 10 * time.Second

// WebSocket subprotocols (docs/protocol.md#websocket).
const (
	protocolName   = "trivium.v1"
	protocolBearer = "trivium.bearer."
)

// normalClosure is the close code for a regular close (RFC 6455, section 7.4.1).
const normalClosure = 1000

// streamSocket reads over a WebSocket (docs/protocol.md#websocket), and sends commands to the hub.
type streamSocket struct {
	ctx    context.Context
	socket Socket
	once   sync.Once
}

func openSocket(ctx context.Context, c *conn, a subscribeParams) (stream, error) {
	q := a.query()
	if a.cursor != "" {
		q = q.with("cursor", a.cursor)
	}
	protocols := []string{protocolName}
	if token := c.tokenToSend(); token != "" {
		protocols = append(protocols, protocolBearer+token)
	}
	address := "ws" + strings.TrimPrefix(c.client.address("/ws", q), "http")
	socket, err := c.client.platform.Dial(ctx, address, protocols)
	if handshake, ok := errors.AsType[*HandshakeError](err); ok {
		return nil, problemOf(handshake.Response)
	}
	if errors.Is(err, errHandshakeHidden) {
		err = c.findRefusal(ctx, a, err)
	}
	if err != nil {
		return nil, err
	}
	return &streamSocket{ctx: ctx, socket: socket}, nil
}

// errHandshakeHidden is the error of a failed handshake on a platform that hides the reason. If a page's
// origin is allowed, the hub accepts the handshake and reports a refusal in a message. If a request has
// no origin, for example from Node.js, the hub reports a refusal by an HTTP status, which the platform
// hides.
var errHandshakeHidden = errors.New("client: WebSocket handshake failed, and the platform does not report why")

// findRefusal sends a poll with the same parameters, to determine why the hub refuses the
// subscription. If the hub does not refuse the poll, findRefusal returns err.
func (n *conn) findRefusal(ctx context.Context, a subscribeParams, err error) error {
	q := a.query()
	q = q.with("wait", "0")
	response, failure := n.get(ctx, "/poll", q, "application/json", a.cursor)
	if failure != nil {
		return err
	}
	if response.Status != 400 && response.Status != 401 && response.Status != 403 {
		_ = response.Body.Close() // the hub accepts the poll
		return err
	}
	if p := problemOf(response); p.Code != "" {
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
		if m, ok, err := messageOf(decoded); ok || err != nil {
			return m, err
		}
	}
}

// endOfSocket converts the hub's own close codes to the corresponding problems. Usually the hub has
// already sent the problem itself.
func endOfSocket(err error) error {
	end, ok := errors.AsType[*CloseError](err)
	if !ok {
		return err
	}
	switch end.Code {
	case 4400:
		return problems.BadRequest(end.Reason)
	case 4401:
		return problems.TokenEnded()
	case 4403:
		return problems.Forbidden(end.Reason)
	case 4408:
		return problems.TooSlow()
	case 1013:
		return problems.TooManyConnections(end.Reason, 0)
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
