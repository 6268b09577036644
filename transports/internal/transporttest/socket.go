package transporttest

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// Bits and opcodes in the first byte of a frame (RFC 6455, section 5.2).
const (
	Fin        = 0x80
	Compressed = 0x40 // RSV1, for permessage-deflate
	TextFrame  = 0x1
	CloseFrame = 0x8
	PingFrame  = 0x9
	PongFrame  = 0xa
)

// Frame is a WebSocket frame.
type Frame struct {
	First   byte // FIN, the reserved bits and the opcode
	Payload []byte
}

// Code returns the status of a close frame, or 0 if the frame has none.
func (f Frame) Code() int {
	if f.First != Fin|CloseFrame || len(f.Payload) < 2 {
		return 0
	}
	return int(binary.BigEndian.Uint16(f.Payload))
}

// AppendFrame appends a frame to dst. first is the first byte of the frame. The frame is masked, as
// clients must mask their frames.
func AppendFrame(dst []byte, first byte, payload []byte) []byte {
	const masked = 0x80
	mask := [4]byte{0x12, 0x34, 0x56, 0x78}
	switch n := len(payload); {
	case n <= 125:
		dst = append(dst, first, masked|byte(n))
	case n <= 0xffff:
		dst = binary.BigEndian.AppendUint16(append(dst, first, masked|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, first, masked|127), uint64(n))
	}
	dst = append(dst, mask[:]...)
	for i, b := range payload {
		dst = append(dst, b^mask[i%4])
	}
	return dst
}

// Socket is the client's end of a WebSocket connection. It sends and receives single frames.
type Socket struct {
	net.Conn
	Response *http.Response // answer to the handshake

	reader *bufio.Reader
}

// NewSocket returns a Socket for a connection whose handshake is done.
func NewSocket(conn net.Conn) *Socket {
	return &Socket{Conn: conn, reader: bufio.NewReader(conn)}
}

// DialSocket opens a WebSocket connection with the given query and header. It sends the bytes in early,
// which contain the client's first frames, in the same write as the handshake. If the server refuses the
// handshake, the error is a *Refusal.
func (s *Server) DialSocket(ask Request, header http.Header, early []byte) (*Socket, error) {
	conn, err := s.dialTLS(ask)
	if err != nil {
		return nil, err
	}
	socket := NewSocket(conn)
	if err := socket.handshake(s.Addr, ask, header, early); err != nil {
		conn.Close()
		return nil, err
	}
	return socket, nil
}

func (s *Socket) handshake(host string, ask Request, header http.Header, early []byte) error {
	s.extendDeadline()
	request := bytes.NewBuffer(fmt.Appendf(nil, "GET /ws?%s HTTP/1.1\r\nHost: %s\r\n", ask.Query.Encode(), host))
	all := http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
	for _, more := range []http.Header{ask.header(), header} {
		for name, values := range more {
			all[name] = values
		}
	}
	_ = all.Write(request) // a bytes.Buffer never fails
	request.WriteString("\r\n")
	request.Write(early)
	if _, err := s.Write(request.Bytes()); err != nil {
		return err
	}
	var err error
	if s.Response, err = http.ReadResponse(s.reader, nil); err != nil {
		return err
	}
	if s.Response.StatusCode != http.StatusSwitchingProtocols {
		return refusal(s.Response)
	}
	if got := s.Response.Header.Get("Sec-WebSocket-Accept"); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // RFC 6455, section 1.3
		return fmt.Errorf("Sec-WebSocket-Accept: %q", got)
	}
	return nil
}

// extendDeadline sets the connection's deadline to the current time plus Patience.
func (s *Socket) extendDeadline() { _ = s.SetDeadline(time.Now().Add(Patience)) }

// Send writes one masked frame.
func (s *Socket) Send(first byte, payload string) error {
	s.extendDeadline()
	_, err := s.Write(AppendFrame(nil, first, []byte(payload)))
	return err
}

// SendText sends one text message.
func (s *Socket) SendText(message string) error { return s.Send(Fin|TextFrame, message) }

// Receive reads one frame. It returns an error for a masked frame.
func (s *Socket) Receive() (Frame, error) {
	s.extendDeadline()
	var head [10]byte
	if _, err := io.ReadFull(s.reader, head[:2]); err != nil {
		return Frame{}, err
	}
	n := uint64(head[1])
	switch {
	case n > 127:
		return Frame{}, fmt.Errorf("received a masked frame from the server: %x", head[:2])
	case n == 126:
		if _, err := io.ReadFull(s.reader, head[2:4]); err != nil {
			return Frame{}, err
		}
		n = uint64(binary.BigEndian.Uint16(head[2:4]))
	case n == 127:
		if _, err := io.ReadFull(s.reader, head[2:10]); err != nil {
			return Frame{}, err
		}
		n = binary.BigEndian.Uint64(head[2:10])
	}
	f := Frame{First: head[0], Payload: make([]byte, n)}
	_, err := io.ReadFull(s.reader, f.Payload)
	return f, err
}

// Message reads one frame and returns the hub's message in it. If it is a close frame, the error is an
// *Ended.
func (s *Socket) Message() (wire.Message, error) {
	f, err := s.Receive()
	if err != nil {
		return wire.Message{}, err
	}
	switch f.First {
	case Fin | TextFrame:
		return decodeMessage(f.Payload)
	case Fin | Compressed | TextFrame:
		payload, err := Inflate(f.Payload)
		if err != nil {
			return wire.Message{}, err
		}
		return decodeMessage(payload)
	case Fin | CloseFrame:
		return wire.Message{}, &Ended{f.Code(), string(f.Payload[min(2, len(f.Payload)):])}
	}
	return wire.Message{}, fmt.Errorf("received a frame that is neither a message nor a close frame: first byte %x", f.First)
}

func decodeMessage(payload []byte) (wire.Message, error) {
	if !isCloudEvent(payload) {
		return wire.DecodeMessage(payload)
	}
	e, err := decodeCloudEvent(payload)
	return wire.Message{Event: e}, err
}

// Ended is the error of Socket.Message for a close frame.
type Ended struct {
	Code   int
	Reason string
}

func (e *Ended) payload() []byte { return binary.BigEndian.AppendUint16(nil, uint16(e.Code)) }

func (e *Ended) Error() string { return fmt.Sprintf("closed with %d %q", e.Code, e.Reason) }

// Inflate decompresses a message that was compressed with permessage-deflate (RFC 7692, section 7.2.2)
// without context takeover.
func Inflate(payload []byte) ([]byte, error) {
	const tail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff" // the four bytes that senders omit, and an empty last block
	return io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(payload), bytes.NewReader([]byte(tail)))))
}

// socketClient is a Client over WebSocket.
type socketClient struct {
	server      *Server
	deflate     bool
	cloudEvents bool
	socket      *Socket
	ended       bool
}

func (c *socketClient) Connect(ask Request) error {
	header := http.Header{}
	if c.deflate {
		header.Set("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")
	}
	if c.cloudEvents {
		ask = asCloudEvents(ask)
	}
	socket, err := c.server.DialSocket(ask, header, nil)
	c.socket = socket
	return err
}

func (c *socketClient) Next() (Item, error) {
	m, err := c.socket.Message()
	if ended, ok := err.(*Ended); ok && !c.ended {
		c.ended = true
		_ = c.socket.Send(Fin|CloseFrame, string(ended.payload())) // fails if the server has already closed the connection
		return Item{Kind: Close, Code: ended.Code}, nil
	}
	if err != nil {
		return Item{}, err
	}
	if c.ended {
		return Item{}, fmt.Errorf("received a message after a close frame: %+v", m)
	}
	switch m.Op {
	case "":
		return eventItem(m.Event), nil
	case wire.OpHello:
		return Item{Kind: Open, ID: m.ID}, nil
	case wire.OpHeartbeat, wire.OpGap:
		return Item{Kind: Kind(m.Op), ID: m.ID, Gap: m.Gap}, nil
	case wire.OpError, wire.OpGoaway:
		return Item{Kind: Kind(m.Op), Problem: m.Problem, Retry: m.Retry}, nil
	}
	return Item{}, fmt.Errorf("received a message of an unexpected kind: %+v", m)
}

func (c *socketClient) Cut() {
	if c.socket != nil {
		c.socket.Close()
	}
}

func (c *socketClient) ExpectedData(e *hub.Event) string { return envelopeData(e) }
