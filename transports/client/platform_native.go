//go:build !js

package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// Timeouts of the default platform. There is no timeout for a whole request, because streams do not
// end.
const (
	dialTimeout       = 10 * time.Second
	headerTimeout     = 60 * time.Second // longer than a poll waits before its answer begins
	closeFrameTimeout = 100 * time.Millisecond
)

// maxHandshakeAnswer is the maximum number of bytes of the response body that Dial keeps if the
// server refuses the handshake.
const maxHandshakeAnswer = 64 << 10 // bytes

// NewPlatform returns the platform for programs outside a browser. It uses net/http, also for
// WebSockets. hc configures proxies and certificates; its Timeout is ignored, because streams do
// not end. If hc is nil, a copy of http.DefaultTransport with timeouts for dialing, TLS and headers
// is used (or http.DefaultTransport itself if it is not an *http.Transport).
//
// Redirects are not followed, because the token would be sent to their target.
func NewPlatform(hc *http.Client) Platform {
	p := &nativePlatform{}
	if hc != nil {
		p.client = *hc
	} else if standard, ok := http.DefaultTransport.(*http.Transport); ok {
		p.own = standard.Clone()
		p.own.DialContext = (&net.Dialer{Timeout: dialTimeout}).DialContext
		p.own.TLSHandshakeTimeout = dialTimeout
		p.own.ResponseHeaderTimeout = headerTimeout
		p.client.Transport = p.own
	}
	p.client.Timeout = 0
	p.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return p
}

func defaultPlatform() Platform { return NewPlatform(nil) }

// pageOrigin returns "", because there is no page.
func pageOrigin() string { return "" }

type nativePlatform struct {
	client http.Client
	own    *http.Transport // nil: the http.Client was passed in
}

// CloseIdleConnections is called when the client ends. It does not close the connections of an
// http.Client that was passed to NewPlatform.
func (p *nativePlatform) CloseIdleConnections() {
	if p.own != nil {
		p.own.CloseIdleConnections()
	}
}

// Wakes implements Platform; there are no wake-ups.
func (p *nativePlatform) Wakes() (<-chan Wake, func()) { return nil, func() {} }

// Do implements Platform.
func (p *nativePlatform) Do(ctx context.Context, request *Request) (*Response, error) {
	var body io.Reader
	if request.Body != nil {
		body = bytes.NewReader(request.Body)
	}
	r, err := http.NewRequestWithContext(ctx, request.Method, request.URL, body)
	if err != nil {
		return nil, withoutURL(err)
	}
	// A proxy must not compress a stream, because it may buffer a compressed stream.
	r.Header.Set("Accept-Encoding", "identity")
	for name, value := range request.Header {
		r.Header.Set(name, value)
	}
	response, err := p.client.Do(r)
	if err != nil {
		return nil, withoutURL(err)
	}
	return &Response{Status: response.StatusCode, Header: response.Header.Get, Body: response.Body}, nil
}

// withoutURL removes the URL from an error, because the query may contain a token.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// Dial implements Platform.
func (p *nativePlatform) Dial(ctx context.Context, url string, protocols []string) (Socket, error) {
	tap := &handshakeTransport{base: p.client.Transport}
	if tap.base == nil {
		tap.base = http.DefaultTransport
	}
	hc := p.client
	hc.Transport = tap
	conn, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: &hc, Subprotocols: protocols})
	switch {
	case err != nil && tap.answer != nil:
		return nil, &HandshakeError{Response: tap.answer}
	case err != nil:
		return nil, withoutURL(err)
	}
	conn.SetReadLimit(wire.DefaultMaxSSEEvent)
	return &socket{conn: conn, raw: tap.raw}, nil
}

// handshakeTransport sends the handshake request. It keeps the raw connection if the server accepts
// the handshake, or the answer if the server refuses it.
type handshakeTransport struct {
	base   http.RoundTripper
	raw    io.ReadWriteCloser
	answer *Response
}

func (t *handshakeTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusSwitchingProtocols {
		t.raw, _ = response.Body.(io.ReadWriteCloser)
		return response, nil
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxHandshakeAnswer))
	response.Body.Close()
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	t.answer = &Response{
		Status: response.StatusCode, Header: response.Header.Get, Body: io.NopCloser(bytes.NewReader(body)),
	}
	return response, nil
}

// socket is a WebSocket of coder/websocket, together with its raw connection. The Close method of
// that library waits for the peer's close frame, so this Close writes the frame itself.
type socket struct {
	conn *websocket.Conn
	raw  io.ReadWriteCloser
	once sync.Once

	err error // error of the last Read; owned by the goroutine that reads
}

// Read implements Socket.
func (s *socket) Read(ctx context.Context) ([]byte, error) {
	if s.err != nil {
		return nil, s.err
	}
	kind, message, err := s.conn.Read(ctx)
	if end, ok := errors.AsType[websocket.CloseError](err); ok {
		err = &CloseError{Code: int(end.Code), Reason: end.Reason}
	}
	if err == nil && kind != websocket.MessageText {
		err = errors.New("received a binary message; only text is allowed")
	}
	s.err = err
	if err != nil {
		return nil, err
	}
	return message, nil
}

// Write implements Socket.
func (s *socket) Write(ctx context.Context, message []byte) error {
	return s.conn.Write(ctx, websocket.MessageText, message)
}

// Close implements Socket. The close frame is dropped if it cannot be written within closeFrameTimeout.
func (s *socket) Close(code int, reason string) {
	s.once.Do(func() {
		written := make(chan struct{})
		go func() {
			defer close(written)
			_, _ = s.raw.Write(closeFrame(code, reason)) // the error is ignored, because the connection is closed anyway
		}()
		timeout := time.NewTimer(closeFrameTimeout)
		defer timeout.Stop()
		select {
		case <-written:
		case <-timeout.C:
		}
		_ = s.conn.CloseNow() // a blocked write then returns
		<-written
	})
}

// closeFrame returns a client's close frame, masked (RFC 6455, sections 5.3 and 5.5.1).
func closeFrame(code int, reason string) []byte {
	const maxReason = 123 // bytes
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "")
	}
	payload := append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)
	var mask [4]byte
	_, _ = rand.Read(mask[:]) // never fails
	frame := append([]byte{0x88, 0x80 | byte(len(payload))}, mask[:]...)
	for i, b := range payload {
		frame = append(frame, b^mask[i%len(mask)])
	}
	return frame
}
