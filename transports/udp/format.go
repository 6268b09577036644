package udp

import (
	"time"

	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// Mode is how datagrams are parsed (docs/protocol.md#publishing-over-udp).
type Mode uint8

// Modes. Auto and JSON accept one JSON text per datagram or per line.
const (
	Auto   Mode = iota // an envelope is an event; anything else is the data of an event
	JSON               // all JSON is data, even an envelope
	Raw                // the whole datagram is data
	Syslog             // one syslog message (RFC 5424 or RFC 3164)
)

// Modes returns the names that ParseMode accepts.
func Modes() []string { return wire.DatagramModes }

// ParseMode parses one of the Modes.
func ParseMode(s string) (Mode, error) {
	mode, err := wire.ParseDatagramMode(s)
	return Mode(mode), err
}

// Format configures how the events of a datagram are derived.
type Format struct {
	Mode  Mode
	Topic string // topic of events whose datagram contains no topic
	// TopicField and TypeField are the members of a JSON object that contain the topic and the type
	// of its event. They do not apply to envelopes and are ignored by Raw. Dots separate the names
	// of nested members. If the member is missing or not a string, the topic is Topic, and there is
	// no type. "" disables a field.
	TopicField, TypeField string
}

func (f Format) wire() wire.DatagramFormat {
	return wire.DatagramFormat{Mode: wire.DatagramMode(f.Mode), Topic: f.Topic, TopicField: f.TopicField, TypeField: f.TypeField}
}

// Sign appends a datagram with the payload and its signature to dst
// (docs/protocol.md#signed-datagrams). at is the time of signing, in the years 1970 to 33658. The
// time has nanosecond precision, so that a later datagram with the same payload is not refused as a
// replay.
func Sign(dst, secret []byte, at time.Time, payload []byte) []byte {
	return wire.SignDatagram(dst, secret, at, payload)
}

// Verify checks the signature of a datagram. It returns the time of signing by the sender's clock,
// and the payload, which shares memory with the datagram. The caller must check that the time is
// recent and that the datagram is not a replay.
func Verify(secret, datagram []byte) (at time.Time, payload []byte, err error) {
	signed, err := wire.VerifyDatagram(secret, datagram)
	return signed.Time, signed.Payload, err
}
