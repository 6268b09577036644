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

// upgrade is the ResponseWriter for the handshake, which the library does. After the handshake, the
// session owns the connection, and the library's object is discarded.
type upgrade struct {
	http.ResponseWriter
	conn    net.Conn
	early   []byte // input that arrived after the request, because a client need not wait for the end of the handshake
	deflate bool   // permessage-deflate was negotiated
	window  bool   // whether the answer must contain the hub's window size
}

// WriteHeader adds the window size if the client requested it (RFC 7692, section 7.1.2.1).
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
		InsecureSkipVerify: true, // package auth has checked the origin
	}
	if offersSubprotocol(r, Protocol) { // needed, because the library ignores the case of names
		options.Subprotocols = []string{Protocol}
	}
	if h.cfg.Compression {
		// The library would accept offers that must be declined, so only an acceptable offer is
		// passed to it.
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

// unclosableConn is the connection that is passed to the library, so that the library cannot close
// it.
type unclosableConn struct{ net.Conn }

func (unclosableConn) Close() error { return nil }
