package server

import (
	"crypto/tls"
	"fmt"
	"net"
	"runtime"
	"runtime/debug"

	"github.com/trivium-hub/trivium/transports"
)

// startHandshake starts the TLS handshake of a new connection in a separate goroutine. A handshake needs 8 KB more of
// stack than serving HTTP/2 does. If the goroutine of net/http performed the handshake, it would keep this memory as long
// as the connection is open. The goroutine of net/http also calls Handshake: it sets the deadlines, waits until the
// separate goroutine has completed the handshake, and handles the error. The caller must wait for o.handshakes after the
// server and its connections are closed.
func (o *openConnections) startHandshake(conn net.Conn) {
	over, ok := conn.(*tls.Conn)
	if !ok {
		return
	}
	o.handshakes.Go(func() {
		defer func() {
			if cause := recover(); cause != nil { // a function in tls.Config has panicked
				o.log.Error("a TLS handshake panicked", "panic", transports.Printable(fmt.Sprint(cause)),
					"peer", conn.RemoteAddr().String(), "stack", string(debug.Stack()))
				closeAtOnce(conn)
			}
		}()
		_ = over.Handshake() // net/http handles the error, which its own call of Handshake returns too
	})
	runtime.Gosched() // lets the new goroutine call Handshake before net/http does
}
