package sse

import (
	"net/url"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/connection"
	"github.com/trivium-hub/trivium/transports/web"
	"github.com/trivium-hub/trivium/transports/wire"
)

// codec spells a stream. The hub keeps each event's block as an HTTP/1.1 chunk, whose inside is
// what goes on a stream without chunks.
type codec struct {
	format  format
	events  wire.CloudEvents // of ?format=cloudevents
	chunked bool
	// clean ends every body with its last chunk. Otherwise one that is to be resumed ends without:
	// @microsoft/fetch-event-source, r3labs/sse and others take a clean end for the end of everything.
	clean bool
}

var _ connection.Codec = codec{}

// format is what the data of an event is on a stream.
type format int

const (
	dataAlone   format = iota
	envelopes          // ?envelope=1
	cloudEvents        // ?format=cloudevents
	formatCount
)

// formatOf reads the two parameters that choose a format.
func formatOf(q url.Values) (format, *wire.Problem) {
	inEnvelope, problem := web.BoolParameter(q, "envelope")
	if problem != nil {
		return dataAlone, problem
	}
	asCloudEvents, problem := web.ParseFormat(q)
	switch {
	case problem != nil:
		return dataAlone, problem
	case inEnvelope && asCloudEvents:
		return dataAlone, wire.BadParameter("format", "cloudevents and envelope=1 exclude each other")
	case inEnvelope:
		return envelopes, nil
	case asCloudEvents:
		return cloudEvents, nil
	}
	return dataAlone, nil
}

func (c codec) Form() hub.Form {
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

// chunk puts a block on the stream.
func (c codec) chunk(dst, block []byte) []byte {
	if c.chunked {
		return wire.AppendChunk(dst, block)
	}
	return append(dst, block...)
}

// last is chunk for the block with which the stream ends, to be resumed or for good.
func (c codec) last(dst, block []byte, resumed bool) []byte {
	dst = c.chunk(dst, block)
	if c.chunked && (c.clean || !resumed) {
		dst = append(dst, wire.LastChunk...)
	}
	return dst
}

func (c codec) AppendHeartbeat(dst []byte, id string) []byte {
	return c.chunk(dst, wire.AppendSSEHeartbeat(nil, id))
}

func (c codec) AppendGap(dst []byte, g *hub.Gap) []byte {
	return c.chunk(dst, wire.AppendSSEGap(nil, g))
}

func (c codec) AppendError(dst []byte, id string, p *wire.Problem) []byte {
	return c.last(dst, wire.AppendSSEError(nil, web.RetryDelay(), id, p), p.Temporary())
}

func (c codec) AppendGoaway(dst []byte, id string, retry time.Duration) []byte {
	return c.last(dst, wire.AppendSSEGoaway(nil, retry, id), true)
}
