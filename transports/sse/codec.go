package sse

import (
	"net/url"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
	"github.com/trivium-hub/trivium/transports/internal/web"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
)

// codec encodes a stream. The hub caches each event's block inside an HTTP/1.1 chunk; streams
// without chunks use the block only.
type codec struct {
	format  format
	events  wire.CloudEvents // for ?format=cloudevents
	chunked bool
	// cleanEnd ends every body with its last chunk. Otherwise a body that the client is to resume
	// ends without it: @microsoft/fetch-event-source, r3labs/sse and others never reconnect after a
	// clean end.
	cleanEnd bool
}

var _ connection.Codec = codec{}

// format is what a stream sends as the data of an event.
type format int

const (
	plainData   format = iota
	envelopes          // ?envelope=1
	cloudEvents        // ?format=cloudevents
	formatCount
)

// formatOf parses the two parameters that select a format.
func formatOf(q url.Values) (format, *problems.Problem) {
	inEnvelope, problem := web.BoolParameter(q, "envelope")
	if problem != nil {
		return plainData, problem
	}
	asCloudEvents, problem := web.ParseFormat(q)
	switch {
	case problem != nil:
		return plainData, problem
	case inEnvelope && asCloudEvents:
		return plainData, problems.BadParameter("format", "cloudevents and envelope=1 exclude each other")
	case inEnvelope:
		return envelopes, nil
	case asCloudEvents:
		return cloudEvents, nil
	}
	return plainData, nil
}

func (c codec) Form() hub.WireFormat {
	switch c.format {
	case envelopes:
		return wire.FormSSEEnvelope
	case cloudEvents:
		return wire.FormSSECloudEvent
	}
	return wire.FormSSE
}

func (c codec) Encode(e *hub.Event) []byte {
	switch c.format {
	case envelopes:
		return wire.EncodeSSEEnvelope(e)
	case cloudEvents:
		return c.events.EncodeSSE(e)
	}
	return wire.EncodeSSE(e)
}

func (c codec) Unwrap(chunk []byte) []byte {
	if c.chunked {
		return chunk
	}
	return wire.Unchunk(chunk)
}

// appendBlock appends a block with the framing of the stream.
func (c codec) appendBlock(dst, block []byte) []byte {
	if c.chunked {
		return wire.AppendChunk(dst, block)
	}
	return append(dst, block...)
}

// appendFinal appends the last block of a stream. resumed means that the client is to resume it.
func (c codec) appendFinal(dst, block []byte, resumed bool) []byte {
	dst = c.appendBlock(dst, block)
	if c.chunked && (c.cleanEnd || !resumed) {
		dst = append(dst, wire.LastChunk...)
	}
	return dst
}

func (c codec) AppendHeartbeat(dst []byte, id string) []byte {
	return c.appendBlock(dst, wire.AppendSSEHeartbeat(nil, id))
}

func (c codec) AppendGap(dst []byte, g *hub.Gap) []byte {
	return c.appendBlock(dst, wire.AppendSSEGap(nil, g))
}

func (c codec) AppendError(dst []byte, id string, p *problems.Problem) []byte {
	return c.appendFinal(dst, wire.AppendSSEError(nil, problems.RetryDelay(), id, p), p.Temporary())
}

func (c codec) AppendGoaway(dst []byte, id string, retry time.Duration) []byte {
	return c.appendFinal(dst, wire.AppendSSEGoaway(nil, retry, id), true)
}
