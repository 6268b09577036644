package udp

import (
	"time"

	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// Mode is how datagrams are parsed (docs/protocol.md#publishing-over-udp).
type Mode uint8

// The modes. Auto and JSON accept one JSON text per datagram, or one per line.
const (
	Auto   Mode = iota // an envelope is parsed as such; other JSON, and other text, is data
	JSON               // all JSON is data, envelopes too
	Raw                // the whole datagram is data
	Syslog             // one syslog message (RFC 5424 or RFC 3164)
)

// Modes returns the names that ParseMode accepts.
func Modes() []string { return wire.DatagramModes }

// ParseMode parses one of Modes.
func ParseMode(s string) (Mode, error) {
	mode, err := wire.ParseDatagramMode(s)
	return Mode(mode), err
}

// Format configures how datagrams become events.
type Format struct {
	Mode  Mode
	Topic string // of events whose datagram names none
	// TopicField and TypeField are the members of a JSON object, other than an envelope, that contain its topic
	// and type. Dots separate the names of nested members. If the member is missing or no string, Topic applies,
	// and there is no type. "" disables the field; Raw ignores both.
	TopicField, TypeField string
}

func (f Format) wire() wire.DatagramFormat {
	return wire.DatagramFormat{Mode: wire.DatagramMode(f.Mode), Topic: f.Topic, TopicField: f.TopicField, TypeField: f.TypeField}
}

// Sign appends to dst a datagram that contains the payload and is signed at the given time, in the years 1970 to 33658
// (docs/protocol.md#signed-datagrams). The time has nanosecond precision, so that the same payload signed later is not
// refused as a replay.
func Sign(dst, secret []byte, at time.Time, payload []byte) []byte {
	return wire.SignDatagram(dst, secret, at, payload)
}

// Verify checks the signature of a datagram. It returns the time of signing by the sender's clock, and the payload,
// which shares memory with the datagram. The caller must check that the time is recent and that the datagram is no replay.
func Verify(secret, datagram []byte) (at time.Time, payload []byte, err error) {
	signed, err := wire.VerifyDatagram(secret, datagram)
	return signed.Time, signed.Payload, err
}
