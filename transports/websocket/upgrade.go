package websocket

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"github.com/trivium-hub/trivium/transports/internal/web"
)

// upgrade is the ResponseWriter that is passed to github.com/coder/websocket for the handshake. After the
// handshake, the session owns the connection, and the library's object for the connection is discarded.
type upgrade struct {
	http.ResponseWriter
	conn    net.Conn
	early   []byte // input after the request, which a client may send before it has received the answer
	deflate bool   // whether permessage-deflate was negotiated
	window  bool   // whether the answer must contain server_max_window_bits
}

// WriteHeader adds server_max_window_bits to the answer if the client has requested it (RFC 7692, section
// 7.1.2.1).
func (u *upgrade) WriteHeader(status int) {
	if agreed := u.Header().Get("Sec-WebSocket-Extensions"); agreed != "" && u.window {
		u.Header().Set("Sec-WebSocket-Extensions", agreed+"; "+serverMaxWindowBits+"="+largestWindow)
	}
	u.ResponseWriter.WriteHeader(status)
}

// upgrade performs the handshake. If it returns an error, the request is already answered.
func (h *Handler) upgrade(w http.ResponseWriter, r *http.Request) (*upgrade, error) {
	u := &upgrade{ResponseWriter: w}
	options := &websocket.AcceptOptions{
		InsecureSkipVerify: true, // package auth has checked the origin
	}
	if offersSubprotocol(r, Protocol) { // the library itself would also accept a name in another case
		options.Subprotocols = []string{Protocol}
	}
	if h.cfg.Compression {
		// The library would accept offers that must be declined, so it receives only an acceptable
		// offer.
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
	_ = ws.CloseNow() // an error only means that the connection is already closed
	u.deflate = w.Header().Get("Sec-WebSocket-Extensions") != ""
	return u, nil
}

// offersSubprotocol reports whether the client offers the subprotocol. Names are case-sensitive
// (RFC 6455 section 11.5).
func offersSubprotocol(r *http.Request, protocol string) bool {
	for name := range web.Elements(r.Header.Values("Sec-WebSocket-Protocol")) {
		if name == protocol {
			return true
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
	// The server has set deadlines for the request, which must not apply to the connection.
	if err := conn.SetDeadline(time.Time{}); err != nil {
		conn.Close()
		return nil, nil, err
	}
	early, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	u.conn, u.early = conn, bytes.Clone(early)
	return unclosableConn{conn}, buffered, nil
}

// unclosableConn is a connection that the library cannot close.
type unclosableConn struct{ net.Conn }

func (unclosableConn) Close() error { return nil }
