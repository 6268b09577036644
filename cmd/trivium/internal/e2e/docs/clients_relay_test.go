//go:build unix

package docs

import (
	"io"
	"net"
	"net/http"
	"path"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// relay forwards connections to an address. Its method reset closes the connections of all clients with a TCP
// reset.
type relay struct {
	listener net.Listener
	upstream string
	running  sync.WaitGroup

	mu    sync.Mutex
	conns map[*net.TCPConn]bool // connections of clients
}

func startRelay(t *testing.T, upstream string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &relay{listener: l, upstream: upstream, conns: map[*net.TCPConn]bool{}}
	r.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.running.Go(func() { r.pass(conn.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		r.reset()
		r.running.Wait()
	})
	return r
}

func (r *relay) address() string { return r.listener.Addr().String() }

// reset closes all connections of clients with a TCP reset.
func (r *relay) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for conn := range r.conns {
		_ = conn.SetLinger(0) // makes Close send a reset
		conn.Close()
	}
}

func (r *relay) pass(conn *net.TCPConn) {
	defer conn.Close()
	up, err := net.Dial("tcp", r.upstream)
	if err != nil {
		_ = conn.SetLinger(0) // Close then sends a reset, like a host that has no listener on the port
		return
	}
	defer up.Close()
	r.mu.Lock()
	r.conns[conn] = true
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.conns, conn)
		r.mu.Unlock()
	}()
	var copying sync.WaitGroup
	copying.Go(func() {
		_, _ = io.Copy(up, conn) // returns after either connection has been closed
		up.Close()
	})
	_, _ = io.Copy(conn, up)
	_ = conn.CloseWrite()
	conn.Close()
	copying.Wait()
}

// staticFiles serves clientsDir to pages of other origins. It resolves module names without ".js",
// as a bundler does.
func staticFiles() http.Handler {
	files := http.FileServer(http.Dir(clientsDir))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path.Ext(r.URL.Path) == "" {
			r.URL.Path += ".js"
		}
		w.Header().Set("Access-Control-Allow-Origin", "*")
		files.ServeHTTP(w, r)
	})
}
