package client

import (
	"fmt"
	"time"
)

// Phase says what a client is doing.
type Phase int

// The phases.
const (
	Connecting Phase = iota // over State.Transport
	Live                    // over State.Transport: the hub has said where the client stands
	Waiting                 // State.Wait, then it connects again
	Ended                   // for good
	Idle                    // there are no topics, so there is no connection
)

// String gives the name.
func (p Phase) String() string {
	switch p {
	case Connecting:
		return "connecting"
	case Live:
		return "live"
	case Waiting:
		return "waiting"
	case Ended:
		return "ended"
	case Idle:
		return "idle"
	}
	return fmt.Sprintf("Phase(%d)", int(p))
}

// State is what a client is doing, and why.
type State struct {
	Phase     Phase
	Transport Transport // never Auto
	Wait      time.Duration
	// Reason is why it waits, why it has ended, and why it connects or is live by a transport that
	// Auto would not have chosen first. It is nil where nothing went wrong.
	Reason error
}

// Stats counts what a client did since Connect.
type Stats struct {
	Delivered  uint64 // events given to the program, gaps not counted
	Gaps       uint64 // given to the program
	Connects   uint64 // times that it went live
	Reconnects uint64 // of these, those after a connection was lost or let go
	Switches   uint64 // of these, those that were by another transport than the one before
}
