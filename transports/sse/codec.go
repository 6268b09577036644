package sse

import (
	"net/url"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
	"github.com/trivium-hub/trivium/transports/internal/web"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
)

// codec encodes the events and messages of a stream. The cached encoding of an event is its SSE block,
// framed as an HTTP/1.1 chunk. Streams without chunks (HTTP/1.0, HTTP/2) use only the block.
type codec struct {
	format  format
	events  wire.CloudEvents // encodes events for ?format=cloudevents
	chunked bool             // whether the stream uses HTTP/1.1 chunks
	// cleanEnd makes every body end cleanly, with a last chunk. By default, the body ends without a last
	// chunk if the client should resume, because client libraries such as @microsoft/fetch-event-source
	// and r3labs/sse never reconnect after a clean end.
	cleanEnd bool
}

var _ connection.Codec = codec{}

// format determines the content of the data field of events in a stream.
type format int

const (
	plainData   format = iota
	envelopes          // ?envelope=1
	cloudEvents        // ?format=cloudevents
	formatCount
)

// formatOf returns the format that a client selects by the parameter envelope or the parameter format.
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

func (c codec) Form() wire.Form {
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

// appendBlock appends an SSE block, as a chunk if the stream is chunked.
func (c codec) appendBlock(dst, block []byte) []byte {
	if c.chunked {
		return wire.AppendChunk(dst, block)
	}
	return append(dst, block...)
}

func (c codec) AppendMessage(dst []byte, m wire.Message) []byte {
	if m.Op == wire.OpError {
		m.Retry = problems.RetryDelay()
	}
	dst = c.appendBlock(dst, m.AppendSSE(nil))
	if c.chunked && m.EndsStream() && (c.cleanEnd || !m.Resumable()) {
		dst = append(dst, wire.LastChunk...)
	}
	return dst
}
