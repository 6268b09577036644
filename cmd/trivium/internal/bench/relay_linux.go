package bench

import (
	"bytes"
	"net"
	"sync"
	"time"
)

// relay forwards connections to an address, and delays the bytes of both directions. All its goroutines have ended when
// close returns.
type relay struct {
	listener net.Listener
	to       string
	delay    time.Duration
	running  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool // connections to clients and to the server; nil after close
}

func startRelay(to string, delay time.Duration) (*relay, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{listener: listener, to: to, delay: delay, conns: map[net.Conn]bool{}}
	r.running.Go(r.accept)
	return r, nil
}

func (r *relay) address() string { return r.listener.Addr().String() }

func (r *relay) close() {
	_ = r.listener.Close()
	r.mu.Lock()
	for conn := range r.conns {
		_ = conn.Close()
	}
	r.conns = nil
	r.mu.Unlock()
	r.running.Wait()
}

func (r *relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", r.to)
		if err != nil {
			_ = client.Close()
			continue
		}
		if !r.add(client, server) {
			return
		}
		r.running.Go(func() { r.forward(server, client) })
		r.running.Go(func() { r.forward(client, server) })
	}
}

// add registers connections and returns true. If the relay is closed, it closes the connections instead and
// returns false.
func (r *relay) add(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range conns {
		if r.conns == nil {
			_ = conn.Close()
			continue
		}
		r.conns[conn] = true
	}
	return r.conns != nil
}

// remove closes and unregisters connections.
func (r *relay) remove(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
		delete(r.conns, conn)
	}
}

// piece is a part of a stream with the time at which the relay must write it.
type piece struct {
	data []byte
	due  time.Time
}

// maxPieces is the maximum number of pieces that a relay buffers per connection and direction.
const maxPieces = 1 << 12

// forward copies bytes from one connection to the other until either is closed, and then closes both.
func (r *relay) forward(to, from net.Conn) {
	pieces := make(chan piece, maxPieces)
	r.running.Go(func() {
		defer close(pieces)
		buf := make([]byte, 32<<10)
		for {
			n, err := from.Read(buf)
			if n > 0 {
				pieces <- piece{bytes.Clone(buf[:n]), time.Now().Add(r.delay)}
			}
			if err != nil {
				return
			}
		}
	})
	defer func() {
		r.remove(to, from)
		for range pieces { // discard pieces until the reader has ended
		}
	}()
	for p := range pieces {
		time.Sleep(time.Until(p.due))
		if _, err := to.Write(p.data); err != nil {
			return
		}
	}
}
