package longpoll

import (
	"bytes"

	"github.com/trivium-hub/trivium/hub"
)

// next closes, returns or keeps the connection after a response. mu must be held. The state is
// answering or serving, or closed if Abort was called.
func (c *pollConn) next(broken bool) {
	c.signalGone() // ends the context of the request
	switch {
	case c.state == closed, broken, c.isEnding():
		c.close()
	case c.unread != nil:
		c.giveBack(*c.unread)
	case c.access == nil: // the request was refused, so the connection does not count toward a token's limits
		c.giveBack(nil)
	default:
		c.state = idle
		idle := c.handler.idleTime
		if timeout := c.origin.server.IdleTimeout; timeout > 0 {
			idle = timeout
		}
		c.setDeadline(idle)
		c.arm()
	}
}

// endPoll ends the current poll. The connection continues to count toward the limits of the token.
func (c *pollConn) endPoll() {
	c.poll.notifier.parked.Store(nil)
	c.keepPlace(&c.poll)
	c.handler.end(&c.poll)
	c.poll = poll{}
}

// keepPlace makes the connection count toward the limits of the poll's token until leave is called
// or until a limit would refuse another connection.
func (c *pollConn) keepPlace(p *poll) {
	_ = p.access.ReserveFilters(p.notifier, hub.FilterSet{}) // never fails for an empty set
	p.access.SetIdle(p.notifier)
	c.access, c.notifier = p.access, p.notifier
	c.notifier.parked.Store(c)
	p.access = nil
}

// releasePlace undoes keepPlace.
func (c *pollConn) releasePlace() {
	if c.access != nil {
		c.notifier.parked.Store(nil)
		c.access.Release(c.notifier)
		c.access, c.notifier = nil, nil
	}
}

// leave releases the resources of a connection that is closed or returned. mu must be held.
func (c *pollConn) leave(state pollState) {
	c.state = state
	c.handler.times.remove(c)
	c.releasePlace()
}

// close closes the connection. mu must be held.
func (c *pollConn) close() {
	c.leave(closed)
	c.parked.Close()
}

// giveBack returns the connection to its server. mu must be held.
func (c *pollConn) giveBack(unread []byte) {
	c.leave(returned)
	back := c.parked.Leave(bytes.Clone(unread))
	c.handler.shared.Registry.Go(back) // back blocks until the server accepts the connection
}

// Drain implements connection.ParkOwner.
func (c *pollConn) Drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.state {
	case waiting:
		c.startAnswer()
	case idle:
		c.close()
	}
}

// Abort implements connection.ParkOwner.
func (c *pollConn) Abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.state {
	case waiting:
		c.endPoll()
		c.close()
	case idle:
		c.close()
	case answering, serving:
		c.state = closed // the goroutine that owns the connection closes it
		c.parked.Interrupt()
		c.signalGone()
	}
}

// peerGone returns a channel that is closed when the peer closes the connection, or by Abort.
// Goroutines wait on it in the states answering and serving.
func (c *pollConn) peerGone() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peerGoneLocked()
}

// peerGoneLocked is like peerGone. mu must be held.
func (c *pollConn) peerGoneLocked() <-chan struct{} {
	if c.gone == nil {
		c.gone = make(chan struct{})
		if c.state == closed {
			close(c.gone)
		} else {
			c.arm()
		}
	}
	return c.gone
}

// signalGone closes the channel of peerGone and ends the context of the request. mu must be held.
func (c *pollConn) signalGone() {
	c.current = nil
	if c.gone != nil {
		close(c.gone)
		c.gone = nil
	}
}
