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

	"github.com/trivium-hub/trivium/transports/wire"
)

// Timeouts of the default platform. Nothing bounds a request as a whole: streams have no end.
const (
	dialTimeout   = 10 * time.Second
	headerTimeout = 60 * time.Second // a poll's header comes when its wait is over
	goodbyeTime   = 100 * time.Millisecond
)

// maxHandshakeAnswer is what is kept of the body of a refused handshake.
const maxHandshakeAnswer = 64 << 10 // bytes

// NewPlatform makes the platform of a program outside a browser: net/http, and WebSockets over it. hc
// is how to reach the hub, by a proxy or with certificates of its own; its Timeout does not count,
// since streams have no end. nil is a client with timeouts for dialing, TLS and headers, otherwise as
// http.DefaultTransport, which goes unchanged if it is no *http.Transport.
//
// Redirects are answers like any other: what follows one would show the token to whom it leads.
func NewPlatform(hc *http.Client) Platform {
	p := &native{}
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

// pageOrigin: there is no page.
func pageOrigin() string { return "" }

type native struct {
	client http.Client
	own    *http.Transport // nil: the client is somebody else's
}

// CloseIdleConnections is called at a client's end; connections of an http.Client that was given are
// its owner's.
func (p *native) CloseIdleConnections() {
	if p.own != nil {
		p.own.CloseIdleConnections()
	}
}

// Wakes implements Platform: nothing tells.
func (p *native) Wakes() (<-chan Wake, func()) { return nil, func() {} }

// Do implements Platform.
func (p *native) Do(ctx context.Context, request *Request) (*Response, error) {
	var body io.Reader
	if request.Body != nil {
		body = bytes.NewReader(request.Body)
	}
	r, err := http.NewRequestWithContext(ctx, request.Method, request.URL, body)
	if err != nil {
		return nil, withoutURL(err)
	}
	// A stream that is compressed on its way may be held back on its way.
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

// withoutURL keeps a token in the query out of what is said of an error.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// Dial implements Platform.
func (p *native) Dial(ctx context.Context, url string, protocols []string) (Socket, error) {
	tap := &tap{under: p.client.Transport}
	if tap.under == nil {
		tap.under = http.DefaultTransport
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

// tap is the way of a handshake, which keeps the connection that it leads to, or the answer if it
// leads to none.
type tap struct {
	under  http.RoundTripper
	raw    io.ReadWriteCloser
	answer *Response
}

func (t *tap) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.under.RoundTrip(r)
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

// socket is a WebSocket of the library, and the connection under it: the library says goodbye only
// to wait for the answer.
type socket struct {
	conn *websocket.Conn
	raw  io.ReadWriteCloser
	once sync.Once

	err error // of Read; stays; owned by who reads
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
		err = errors.New("a binary message came, where all are text")
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

// Close implements Socket. A close frame that finds no room at once is not said.
func (s *socket) Close(code int, reason string) {
	s.once.Do(func() {
		said := make(chan struct{})
		go func() {
			defer close(said)
			_, _ = s.raw.Write(closeFrame(code, reason)) // nobody is left to be told
		}()
		room := time.NewTimer(goodbyeTime)
		defer room.Stop()
		select {
		case <-said:
		case <-room.C:
		}
		_ = s.conn.CloseNow() // which ends the write, too
		<-said
	})
}

// closeFrame is one of a client, masked (RFC 6455, sections 5.3 and 5.5.1).
func closeFrame(code int, reason string) []byte {
	const most = 123 // bytes
	if len(reason) > most {
		reason = strings.ToValidUTF8(reason[:most], "")
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
