package client

import (
	"fmt"
	"time"
)

// Phase is a client's connection phase.
type Phase int

// The phases.
const (
	Connecting Phase = iota // by State.Transport
	Live                    // the hub has confirmed the subscription on State.Transport
	Waiting                 // for State.Wait, then it reconnects
	Ended                   // permanently
	Idle                    // no topics, hence no connection
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
	// Reason is why the client waits, why it ended, or why it uses a transport other than Auto's first choice.
	// It is nil if nothing failed.
	Reason error
}

// Stats are a client's counters since Connect.
type Stats struct {
	Delivered  uint64 // events taken by the program, without gaps
	Gaps       uint64 // gaps taken by the program
	Connects   uint64 // times that the client became Live
	Reconnects uint64 // of these, all but the first
	Switches   uint64 // of these, those on another transport than the previous connection
}
