package client

import (
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jsonscan"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// AppendEnvelope appends the event as a JSON object, in the format that publishers send and
// subscribers receive (docs/protocol.md#events). It omits a zero ID or Time.
func AppendEnvelope(dst []byte, e *hub.Event) []byte { return wire.AppendEnvelope(dst, e) }

// DecodeEnvelope decodes an event's JSON object. The event may share b's memory.
func DecodeEnvelope(b []byte) (*hub.Event, error) { return wire.DecodeEnvelope(b) }

// StringMember returns a member of a JSON object, or "" if the member is absent or not a string.
// Programs for a browser page use it instead of encoding/json, whose reflection would make the
// WebAssembly binary half a megabyte larger.
func StringMember(object []byte, name string) (value string, err error) {
	err = jsonscan.ObjectMembers(object, func(found string, raw []byte) error {
		if found == name {
			value, _ = jsonscan.StringValue(raw)
		}
		return nil
	})
	return value, err
}
