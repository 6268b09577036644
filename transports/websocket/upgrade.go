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

// upgrade is the ResponseWriter for the library's handshake. Afterwards the session owns the
// connection, and the library's object is discarded.
type upgrade struct {
	http.ResponseWriter
	conn    net.Conn
	early   []byte // input after the request: a client need not wait for the handshake's end
	deflate bool   // permessage-deflate was negotiated
	window  bool   // the answer must contain the hub's window size
}

// WriteHeader adds the window size if the client asked for it (RFC 7692, section 7.1.2.1).
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
	if offersSubprotocol(r, Protocol) { // the library ignores case
		options.Subprotocols = []string{Protocol}
	}
	if h.cfg.Compression {
		// The library accepts offers that must be declined, so it sees only an acceptable one.
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
	_ = ws.CloseNow() // reports only that it is closed
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
	// Remove the server's deadlines, which were for the request.
	if err := conn.SetDeadline(time.Time{}); err != nil {
		conn.Close()
		return nil, nil, err
	}
	early, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	u.conn, u.early = conn, bytes.Clone(early)
	return unclosableConn{conn}, buffered, nil
}

// unclosableConn is the connection as the library sees it, so that the library does not close it.
type unclosableConn struct{ net.Conn }

func (unclosableConn) Close() error { return nil }
