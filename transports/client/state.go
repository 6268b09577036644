package client

import (
	"fmt"
	"time"
)

// Phase is a client's connection phase.
type Phase int

// Phases.
const (
	Connecting Phase = iota // a connection over State.Transport is being opened
	Live                    // the hub has confirmed the subscription on State.Transport
	Waiting                 // the client reconnects after State.Wait
	Ended                   // the client has ended and does not reconnect
	Idle                    // there are no topics, and therefore no connection
)

// String returns the phase's name.
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

// State is a client's phase and the reason for it.
type State struct {
	Phase     Phase
	Transport Transport // never Auto
	Wait      time.Duration
	// Reason is the reason why the client waits, why it has ended, or why it does not use Auto's
	// first choice. It is nil if nothing failed.
	Reason error
}

// Stats are a client's counters since Connect.
type Stats struct {
	Delivered  uint64 // events that the program has read, not counting gaps
	Gaps       uint64 // gaps that the program has read
	Connects   uint64 // number of times that the client became Live
	Reconnects uint64 // Connects, not counting the first
	Switches   uint64 // reconnects that changed the transport
}
