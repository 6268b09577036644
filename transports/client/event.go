package client

import (
	"time"

	"github.com/trivium-hub/trivium/hub"
)

// Event is an event of the hub, or a gap that stands for lost events. Events arrive in the hub's
// order.
type Event struct {
	// ID is the cursor: a client that starts with it resumes directly after this event or gap. It
	// is opaque.
	ID    string
	Topic string
	Type  string    // optional
	Key   string    // optional
	Time  time.Time // time at which the hub accepted the event
	// Data is the payload, byte for byte as published. Its Encoding is JSON, text or binary. Over SSE,
	// line breaks between JSON tokens arrive as LF. The receiver owns the slice. The maximum size of an
	// event is 8 MiB, including its envelope. The client cannot receive a larger event or any event after
	// it: each connection fails at the large event, and State contains the error.
	Data     []byte
	Encoding Encoding

	// Gap is set if matching events between Gap.After and ID were lost. All other fields except ID
	// are then empty.
	Gap *Gap
}

// Encoding is the kind of an event's Data.
type Encoding = hub.Encoding

// Encodings.
const (
	JSON   = hub.JSON
	Text   = hub.Text
	Binary = hub.Binary
)

// Gap describes lost events (docs/protocol.md#gaps).
type Gap = hub.Gap
