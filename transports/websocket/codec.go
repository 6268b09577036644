package websocket

import (
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// codec encodes each event and each message as one frame. To the last message of a stream it adds a close
// frame.
type codec struct {
	deflate     bool              // whether permessage-deflate was negotiated
	cloudEvents *wire.CloudEvents // encodes events; nil: events are sent as envelopes
}

var _ connection.Codec = codec{}

func (c codec) Form() wire.Form {
	switch {
	case c.cloudEvents != nil && c.deflate:
		return wire.FormDeflateCloudEvent
	case c.cloudEvents != nil:
		return wire.FormFrameCloudEvent
	case c.deflate:
		return wire.FormDeflate
	}
	return wire.FormFrame
}

func (c codec) Encode(e *hub.Event) []byte {
	switch {
	case c.cloudEvents != nil && c.deflate:
		return c.cloudEvents.EncodeDeflate(e)
	case c.cloudEvents != nil:
		return c.cloudEvents.EncodeFrame(e)
	case c.deflate:
		return wire.EncodeDeflate(e)
	}
	return wire.EncodeFrame(e)
}

func (c codec) Unwrap(frame []byte) []byte { return frame }

func (c codec) AppendMessage(dst []byte, m wire.Message) []byte {
	dst = wire.AppendTextFrame(dst, m.AppendJSON(nil))
	switch m.Op {
	case wire.OpError:
		dst = wire.AppendCloseFrame(dst, m.Problem.CloseCode(), m.Problem.Title)
	case wire.OpGoaway:
		dst = wire.AppendCloseFrame(dst, goingAway, "draining")
	}
	return dst
}
