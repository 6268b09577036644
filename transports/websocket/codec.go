package websocket

import (
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
)

// codec encodes each message as one frame, and ends the stream with a close frame.
type codec struct {
	deflate     bool              // permessage-deflate was negotiated
	cloudEvents *wire.CloudEvents // encodes events; nil: as envelopes
}

var _ connection.Codec = codec{}

func (c codec) Form() hub.WireFormat {
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

func (c codec) AppendHeartbeat(dst []byte, id string) []byte {
	return wire.AppendTextFrame(dst, wire.AppendHeartbeat(nil, id))
}

func (c codec) AppendGap(dst []byte, g *hub.Gap) []byte {
	return wire.AppendTextFrame(dst, wire.AppendGap(nil, g))
}

func (c codec) AppendError(dst []byte, _ string, p *problems.Problem) []byte {
	dst = wire.AppendTextFrame(dst, wire.AppendError(nil, nil, p))
	return wire.AppendCloseFrame(dst, p.CloseCode(), p.Title)
}

func (c codec) AppendGoaway(dst []byte, _ string, retry time.Duration) []byte {
	dst = wire.AppendTextFrame(dst, wire.AppendGoaway(nil, retry))
	return wire.AppendCloseFrame(dst, goingAway, "draining")
}
