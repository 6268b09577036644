package udp

import (
	"time"

	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// Mode determines how datagrams are parsed (docs/protocol.md#publishing-over-udp).
type Mode uint8

// Modes. With Auto and JSON, a datagram contains one JSON text, or one per line.
const (
	Auto   Mode = iota // an envelope is an event; anything else is the data of an event
	JSON               // each JSON text is the data of an event, even if it is an envelope
	Raw                // the whole datagram is the data of one event
	Syslog             // one syslog message (RFC 5424 or RFC 3164)
)

// Modes returns the names that ParseMode accepts.
func Modes() []string { return wire.DatagramModes }

// ParseMode parses one of the Modes.
func ParseMode(s string) (Mode, error) {
	mode, err := wire.ParseDatagramMode(s)
	return Mode(mode), err
}

// Format determines which events a datagram contains.
type Format struct {
	Mode  Mode
	Topic string // default topic, for events without a topic in the datagram
	// TopicField and TypeField name the members of a JSON object that contain the topic and the type of
	// its event; "": no such member. Dots separate the names of nested members. If the member is missing
	// or not a string, the topic is Topic, or the event has no type. The two fields have no effect on
	// envelopes, or if Mode is Raw.
	TopicField, TypeField string
}

func (f Format) wire() wire.DatagramFormat {
	return wire.DatagramFormat{Mode: wire.DatagramMode(f.Mode), Topic: f.Topic, TopicField: f.TopicField, TypeField: f.TypeField}
}

// Sign appends to dst a signed datagram with the payload (docs/protocol.md#signed-datagrams). at is the
// time of signing, which must be in the years 1970 to 33658. The datagram contains the time with
// nanosecond precision. Therefore, if an equal payload is signed at another time, the hub does not
// refuse it as a replay.
func Sign(dst, secret []byte, at time.Time, payload []byte) []byte {
	return wire.SignDatagram(dst, secret, at, payload)
}

// Verify verifies the signature of a datagram. It returns the time of signing, by the sender's clock, and
// the payload, which shares memory with the datagram. The caller must check that the time is recent and
// that the datagram is not a replay.
func Verify(secret, datagram []byte) (at time.Time, payload []byte, err error) {
	signed, err := wire.VerifyDatagram(secret, datagram)
	return signed.Time, signed.Payload, err
}
