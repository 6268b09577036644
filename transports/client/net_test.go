//go:build !js

package client_test

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

// cuttable is a connection of a client. When it is frozen, it behaves as if a cable were unplugged:
// it receives nothing, and stays open.
type cuttable struct {
	net.Conn
	rig    *rig
	freeze sync.Once
	frozen chan struct{} // closed by freeze
	closed chan struct{}
	once   sync.Once
}

func (c *cuttable) Read(p []byte) (int, error) {
	if most, pause := c.rig.pace(); most > 0 {
		p = p[:min(len(p), most)]
		select {
		case <-time.After(pause):
		case <-c.closed:
		}
	}
	n, err := c.Conn.Read(p)
	c.rig.read.Add(int64(n))
	select {
	case <-c.frozen:
		<-c.closed
		return 0, net.ErrClosed
	default:
		return n, err
	}
}

func (c *cuttable) Close() error {
	c.rig.mu.Lock()
	delete(c.rig.conns, c)
	c.rig.mu.Unlock()
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// all returns the open connections.
func (r *rig) all() []*cuttable {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.conns))
}

// cut closes every connection abruptly.
func (r *rig) cut() {
	for _, c := range r.all() {
		_ = c.Conn.Close()
	}
}

// freeze makes every open connection behave as if a cable were unplugged.
func (r *rig) freeze() {
	for _, c := range r.all() {
		c.freeze.Do(func() { close(c.frozen) })
	}
}

// received returns the number of bytes that the clients have read.
func (r *rig) received() int64 { return r.read.Load() }

// slow delays each read and limits its size.
func (r *rig) slow(bytes int, pause time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bytes, r.pause = bytes, pause
}

func (r *rig) pace() (bytes int, pause time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes, r.pause
}

// setUnreachable makes the hub unreachable, or reachable again.
func (r *rig) setUnreachable(yes bool) {
	r.mu.Lock()
	r.unreachable = yes
	r.mu.Unlock()
	if yes {
		r.cut()
	}
}

// pipes is a network whose connections are net.Pipe.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
