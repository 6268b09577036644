package client

import (
	"time"

	"github.com/trivium-hub/trivium/hub"
)

// Event is what a client gets, in the order of the hub: an event, or the word that some are
// missing.
type Event struct {
	// ID is the cursor: a client that begins with it goes on right after this event, or after the
	// gap. It is opaque.
	ID    string
	Topic string
	Type  string    // optional
	Key   string    // optional
	Time  time.Time // when the hub accepted it
	// Data is the payload, byte for byte as it was published: JSON, text or binary as Encoding
	// says; SSE turns the line ends that JSON has between its tokens into LF. It is the receiver's
	// own. What comes is at most 8 MiB with all that is around it; a longer event the client does
	// not get past, and says so in State.
	Data     []byte
	Encoding Encoding

	// Gap, if there is one, says that what matches was lost between Gap.After and ID, and nothing
	// else of the event is set but ID.
	Gap *Gap
}

// Encoding says what Data is.
type Encoding = hub.Encoding

// The encodings.
const (
	JSON   = hub.JSON
	Text   = hub.Text
	Binary = hub.Binary
)

// Gap says which events were lost (docs/protocol.md#gaps).
type Gap = hub.Gap
