package transports

import "github.com/trivium-hub/trivium/transports/internal/connection"

// Stats are the counters of an API since its creation.
type Stats struct {
	Transports map[string]TransportStats // by name: sse, websocket and longpoll
	// Published contains the number of published events by protocol: http and websocket. A repeated
	// publish with the same idempotency key is not counted.
	Published map[string]uint64
	// Problems contains, by problem code, the number of requests that were answered with a problem. It
	// includes only requests whose context is derived from API.Context.
	Problems map[string]uint64
	// WebSocketRefusals contains, by reason, the number of WebSockets that the API closed because of an
	// invalid message; see websocket.Refusals.
	WebSocketRefusals map[string]uint64

	Receiving        int64             // memory for bodies and messages that are being received, in bytes
	ReceivingRefused map[string]uint64 // refused bodies and messages by limit: receiving, receiving_per_token and receiving_time
	EncodingBytes    int64             // memory of the encodings that are attached to events of the in-memory log, in bytes
	SlowBytes        int64             // memory of the encodings that slow connections hold, in bytes
}

// TransportStats are the counters of one transport.
type TransportStats struct {
	Connections      int64 // currently open connections
	Opened           uint64
	Delivered        uint64 // events of which at least a part was written
	Bytes            uint64 // written bytes, before TLS; for long-poll only the response bodies
	FellBehind       uint64 // connections that were closed because they fell behind retention
	WriteStalled     uint64 // connections that were closed because a write made no progress
	ClosedAtDeadline uint64 // connections that were closed at the drain deadline with unwritten data
	Unauthorized     uint64 // connections that were closed because the token expired, was revoked or lost a right
	// NoEncodingMemory counts connections that were closed, and polls that were answered with status
	// 503, because retention had removed a large event before it was completely written, and there was
	// no memory for its encoding.
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
		EncodingBytes:     a.registry.EncodingCache().RetainedBytes(),
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
