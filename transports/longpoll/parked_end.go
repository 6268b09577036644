package longpoll

import (
	"bytes"

	"github.com/trivium-hub/trivium/hub"
)

// next decides what happens to the connection after a response: it closes the connection, returns it to
// its server, or waits for the next request. broken reports that the connection cannot be used further.
// mu must be held. The state must be answering or serving, or closed if Abort was called.
func (c *pollConn) next(broken bool) {
	c.signalGone() // ends the context of the request
	switch {
	case c.state == closed, broken, c.isEnding():
		c.close()
	case c.unread != nil:
		c.giveBack(*c.unread)
	case c.access == nil: // the request was refused, so no token's limits would count the idle connection
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

// endPoll ends the current poll. The connection continues to count toward the limits of its token.
func (c *pollConn) endPoll() {
	c.poll.notifier.parked.Store(nil)
	c.keepAccess(&c.poll)
	c.handler.end(&c.poll)
	c.poll = poll{}
}

// keepAccess moves the access of a poll to the connection, which therefore counts toward the limits of
// the token. The access is released by releaseAccess, or by package auth if a limit would otherwise
// refuse another connection.
func (c *pollConn) keepAccess(p *poll) {
	_ = p.access.ReserveFilters(p.notifier, hub.FilterSet{}) // never fails for an empty set
	p.access.SetIdle(p.notifier)
	c.access, c.notifier = p.access, p.notifier
	c.notifier.parked.Store(c)
	p.access = nil
}

// releaseAccess releases the access that keepAccess has moved to the connection.
func (c *pollConn) releaseAccess() {
	if c.access != nil {
		c.notifier.parked.Store(nil)
		c.access.Release(c.notifier)
		c.access, c.notifier = nil, nil
	}
}

// leave sets the state of the connection, which must be closed or returned, cancels its deadline and
// releases its access. mu must be held.
func (c *pollConn) leave(state pollState) {
	c.state = state
	c.handler.times.remove(c)
	c.releaseAccess()
}

// close closes the connection. mu must be held.
func (c *pollConn) close() {
	c.leave(closed)
	c.parked.Close()
}

// giveBack returns the connection to its server, which then reads the bytes in unread first. mu must be
// held.
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

// peerGone returns a channel that is closed when the peer closes the connection, when the current
// response ends, or by Abort. Goroutines wait for it in the states answering and serving.
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

// signalGone closes the channel that peerGone has returned, and ends the context of the request. mu must
// be held.
func (c *pollConn) signalGone() {
	c.current = nil
	if c.gone != nil {
		close(c.gone)
		c.gone = nil
	}
}
