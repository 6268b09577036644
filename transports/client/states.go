package client

import (
	"context"
	"iter"
	"sync/atomic"
)

// states is a list that grows at its end: who watches holds the node that it has seen last, and by
// it all later ones, so nobody is waited for and nothing is missed.
type states struct{ last atomic.Pointer[stateNode] }

type stateNode struct {
	state State
	later chan struct{} // closed when next is there
	next  *stateNode
}

// set is called by one goroutine.
func (s *states) set(state State) {
	node := &stateNode{state: state, later: make(chan struct{})}
	before := s.last.Swap(node)
	if before != nil {
		before.next = node
		close(before.later)
	}
}

// States gives the present state and every later one, in order. It ends with Ended, or when ctx is
// done.
func (c *Client) States(ctx context.Context) iter.Seq[State] {
	return func(yield func(State) bool) {
		for node := c.states.last.Load(); yield(node.state) && node.state.Phase != Ended; node = node.next {
			select {
			case <-node.later:
			case <-ctx.Done():
				return
			}
		}
	}
}

// State is the present one.
func (c *Client) State() State { return c.states.last.Load().state }
