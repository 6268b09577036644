package transports

import "github.com/trivium-hub/trivium/transports/internal/connection"

// Stats are the counts of an API since it was made.
type Stats struct {
	Transports map[string]TransportStats // by name: sse, websocket and longpoll
	// Published counts events by route, http and websocket, without repeats of an idempotency key.
	Published map[string]uint64
	// Problems counts the requests that were answered with a problem, by its code, of those whose context comes from
	// API.Context.
	Problems map[string]uint64
	// WebSocketRefusals counts the WebSockets that were closed for what their peer sent, by reason; see
	// websocket.Refusals.
	WebSocketRefusals map[string]uint64

	Receiving        int64             // bytes of memory of bodies and messages that are being received
	ReceivingRefused map[string]uint64 // bodies and messages, by limit: receiving, receiving_per_token and receiving_time
	SlowBytes        int64             // memory of the encodings that slow connections hold
}

// TransportStats are the counts of the connections of one transport.
type TransportStats struct {
	Connections      int64 // open now
	Opened           uint64
	Delivered        uint64 // events written, at least in part
	Bytes            uint64 // written, before TLS; of long-poll the bodies only
	FellBehind       uint64 // disconnected because they fell behind retention
	WriteStalled     uint64 // closed because a write made no progress
	ClosedAtDeadline uint64 // closed at the drain deadline with data unwritten
	Unauthorized     uint64 // closed because the token ended or lost a right
	// NoEncodingMemory counts connections closed before or within a large event that retention had removed, because
	// there was no memory for its encoding.
	NoEncodingMemory uint64
}

// Stats returns the current counts.
func (a *API) Stats() Stats {
	c := &a.counters
	s := Stats{
		Transports:        make(map[string]TransportStats),
		Published:         map[string]uint64{"http": c.PublishedHTTP.Load(), "websocket": c.PublishedWebSocket.Load()},
		Problems:          c.Problems.ByCode(),
		WebSocketRefusals: c.WebSocketRefusals.ByReason(),
		SlowBytes:         a.registry.EncodingCache().Bytes(),
	}
	for name, counters := range c.Transports {
		s.Transports[name] = transportStats(counters)
	}
	if budget := a.intake.Load(); budget != nil {
		received := budget.Stats()
		s.Receiving, s.ReceivingRefused = received.Taken, received.Refused
	}
	return s
}

func transportStats(c *connection.Counters) TransportStats {
	return TransportStats{
		Connections:      c.Connections.Load(),
		Opened:           c.Opened.Load(),
		Delivered:        c.Delivered.Load(),
		Bytes:            c.Bytes.Load(),
		FellBehind:       c.FellBehind.Load(),
		WriteStalled:     c.WriteStalled.Load(),
		ClosedAtDeadline: c.ClosedAtDeadline.Load(),
		Unauthorized:     c.Unauthorized.Load(),
		NoEncodingMemory: c.NoEncodingMemory.Load(),
	}
}
