package websocket

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// upgrade is the ResponseWriter by which the library does the handshake, and what is left when it
// has: the connection is the session's, and the library's own part is let go of.
type upgrade struct {
	http.ResponseWriter
	conn    net.Conn
	early   []byte // received behind the request: a client may not wait for the handshake's end
	deflate bool   // permessage-deflate was agreed on
	window  bool   // and the client asked for the size of the hub's window
}

// WriteHeader repeats the size of the window where the client asked for it (RFC 7692, section 7.1.2.1).
func (u *upgrade) WriteHeader(status int) {
	if agreed := u.Header().Get("Sec-WebSocket-Extensions"); agreed != "" && u.window {
		u.Header().Set("Sec-WebSocket-Extensions", agreed+"; "+serverMaxWindowBits+"="+largestWindow)
	}
	u.ResponseWriter.WriteHeader(status)
}

// upgrade does the handshake.
func (h *Handler) upgrade(w http.ResponseWriter, r *http.Request) (*upgrade, error) {
	u := &upgrade{ResponseWriter: w}
	options := &websocket.AcceptOptions{
		InsecureSkipVerify: true, // origins were judged before any transport was reached
	}
	if offers(r, Protocol) { // the library would take it in other letters too
		options.Subprotocols = []string{Protocol}
	}
	if h.cfg.Compression {
		// The library would accept offers that are to be declined; it is shown what it may accept.
		var offer string
		offer, u.window = deflateOffer(r.Header)
		r = r.WithContext(r.Context())
		r.Header = r.Header.Clone()
		r.Header.Set("Sec-WebSocket-Extensions", offer)
		options.CompressionMode = websocket.CompressionNoContextTakeover
	}
	ws, err := websocket.Accept(u, r, options)
	if err != nil {
		return nil, err
	}
	_ = ws.CloseNow() // says no more than that it is closed
	u.deflate = w.Header().Get("Sec-WebSocket-Extensions") != ""
	return u, nil
}

// offers reports whether the client offers the subprotocol, whose name is as it is written (RFC 6455
// section 11.5).
func offers(r *http.Request, protocol string) bool {
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for name := range strings.SplitSeq(line, ",") {
			if strings.TrimSpace(name) == protocol {
				return true
			}
		}
	}
	return false
}

func (u *upgrade) Unwrap() http.ResponseWriter { return u.ResponseWriter }

// Hijack implements http.Hijacker.
func (u *upgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(u.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	// The server's deadlines were for the request.
	if err := conn.SetDeadline(time.Time{}); err != nil {
		conn.Close()
		return nil, nil, err
	}
	early, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	u.conn, u.early = conn, bytes.Clone(early)
	return kept{conn}, buffered, nil
}

// kept is the connection as the library sees it, which does not close it.
type kept struct{ net.Conn }

func (kept) Close() error { return nil }
