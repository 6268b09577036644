package client

import (
	"time"

	"github.com/trivium-hub/trivium/hub"
)

// Event is an event of the hub, or a gap in place of lost events. Events arrive in the hub's order.
type Event struct {
	// ID is the cursor: a client that starts with it resumes right after this event or gap. It is opaque.
	ID    string
	Topic string
	Type  string    // optional
	Key   string    // optional
	Time  time.Time // when the hub accepted it
	// Data is the payload, byte for byte as published: JSON, text or binary according to Encoding. Over SSE,
	// line breaks between JSON tokens arrive as LF. The receiver owns the slice. An event with its envelope is
	// limited to 8 MiB; the client cannot read past a longer one and reports the error in State.
	Data     []byte
	Encoding Encoding

	// Gap is set if matching events between Gap.After and ID were lost. Then no other field but ID is set.
	Gap *Gap
}

// Encoding is the kind of Data.
type Encoding = hub.Encoding

// The encodings.
const (
	JSON   = hub.JSON
	Text   = hub.Text
	Binary = hub.Binary
)

// Gap describes lost events (docs/protocol.md#gaps).
type Gap = hub.Gap
