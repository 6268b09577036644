package server

import (
	"crypto/tls"
	"fmt"
	"net"
	"runtime"
	"runtime/debug"

	"github.com/trivium-hub/trivium/transports"
)

// startHandshake starts the handshake of a new connection with TLS in a goroutine of its own. A handshake needs 8 KB more of
// stack than HTTP/2, and the goroutine of net/http would keep them for as long as the connection is open. That
// goroutine also calls Handshake: it sets the deadlines, waits until this handshake has ended, and handles its error.
func (o *openConnections) startHandshake(conn net.Conn) {
	over, ok := conn.(*tls.Conn)
	if !ok {
		return
	}
	go func() {
		defer func() {
			if cause := recover(); cause != nil { // by a function of tls.Config
				o.log.Error("a TLS handshake panicked", "panic", transports.Printable(fmt.Sprint(cause)),
					"peer", conn.RemoteAddr().String(), "stack", string(debug.Stack()))
				closeAtOnce(conn)
			}
		}()
		_ = over.Handshake() // net/http gets the same error
	}()
	runtime.Gosched() // so that this goroutine begins the handshake, and not that of net/http
}
