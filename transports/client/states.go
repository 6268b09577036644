package client

import (
	"context"
	"iter"
	"sync/atomic"
)

// states is a linked list that only grows at its end. A loop over States keeps the last node that
// it has seen and follows the links, so that it misses no state and blocks no other goroutine.
type states struct{ last atomic.Pointer[stateNode] }

type stateNode struct {
	state State
	later chan struct{} // closed when next is set
	next  *stateNode
}

// set appends a state. Only one goroutine may call it.
func (s *states) set(state State) {
	node := &stateNode{state: state, later: make(chan struct{})}
	before := s.last.Swap(node)
	if before != nil {
		before.next = node
		close(before.later)
	}
}

// States returns an iterator over the current state and all later ones, in order. It ends after Ended, or when
// ctx is done.
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

// State returns the current state.
func (c *Client) State() State { return c.states.last.Load().state }
