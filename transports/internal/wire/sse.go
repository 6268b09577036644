package wire

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strconv"

	"github.com/trivium-hub/trivium/hub"
)

// EncodeSSE returns the event as FormSSE: an SSE block (docs/protocol.md#server-sent-events) in one
// HTTP/1.1 chunk. The block has the fields id, event (if the event has a type), topic, and data.
func EncodeSSE(e *hub.Event) []byte {
	s := newScratch(len(e.Data) + envelopeOverhead)
	defer s.free()
	s.b = appendSSEID(s.b, e.ID)
	if e.Type != "" {
		s.b = appendSSEField(s.b, "event", e.Type)
	}
	s.b = appendSSEField(s.b, "topic", e.Topic)
	switch e.Encoding {
	case hub.Binary:
		text := newScratch(base64.StdEncoding.EncodedLen(len(e.Data)))
		defer text.free()
		text.b = base64.StdEncoding.AppendEncode(text.b, e.Data)
		s.b = appendSSEDataLine(s.b, text.b)
	case hub.Text:
		s.b = appendSSEData(s.b, e.Data)
	default:
		s.b = appendSSEData(s.b, jsonData(e))
	}
	s.b = append(s.b, '\n')
	return AppendChunk(nil, s.b)
}

// EncodeSSEEnvelope returns the event as FormSSEEnvelope, for ?envelope=1: an SSE block in one HTTP/1.1
// chunk. The block consists of the id and the envelope as data.
func EncodeSSEEnvelope(e *hub.Event) []byte {
	envelope, block := newScratch(len(e.Data)+envelopeOverhead), newScratch(len(e.Data)+envelopeOverhead)
	defer envelope.free()
	defer block.free()
	envelope.b = AppendEnvelope(envelope.b, e)
	block.b = appendSSEID(block.b, e.ID)
	block.b = appendSSEData(block.b, envelope.b)
	block.b = append(block.b, '\n')
	return AppendChunk(nil, block.b)
}

func appendSSEID(dst []byte, id hub.Cursor) []byte {
	dst = append(dst, "id: "...)
	return append(id.AppendText(dst), '\n')
}

// appendSSEField appends a field. The value must not contain a line end.
func appendSSEField(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, '\n')
}

// appendSSEData appends a data field for each line of data, at least one. A CR also ends a line, because
// clients would otherwise parse the text after it as another field.
func appendSSEData(dst, data []byte) []byte {
	ends := "\n"
	if bytes.IndexByte(data, '\r') >= 0 {
		ends = "\r\n"
	}
	for {
		i := bytes.IndexAny(data, ends)
		if i < 0 {
			return appendSSEDataLine(dst, data)
		}
		dst = appendSSEDataLine(dst, data[:i])
		if data[i] == '\r' && i+1 < len(data) && data[i+1] == '\n' {
			i++
		}
		data = data[i+1:]
	}
}

// appendSSEDataLine appends one data field. Clients remove one space after the colon. Therefore
// appendSSEDataLine writes a space before the line, so that a line that starts with a space keeps it.
func appendSSEDataLine(dst, line []byte) []byte {
	dst = append(dst, "data:"...)
	if len(line) > 0 {
		dst = append(dst, ' ')
		dst = append(dst, line...)
	}
	return append(dst, '\n')
}

// LastChunk is the last chunk of a chunked body (RFC 9112, section 7.1).
const LastChunk = "0\r\n\r\n"

// AppendChunk appends one chunk of an HTTP/1.1 body that contains the block (RFC 9112, section 7.1). For
// an empty block it appends nothing, because an empty chunk would end the body.
func AppendChunk(dst, block []byte) []byte {
	if len(block) == 0 {
		return dst
	}
	var size [16]byte
	hex := strconv.AppendUint(size[:0], uint64(len(block)), 16)
	dst = slices.Grow(dst, len(hex)+len("\r\n\r\n")+len(block))
	dst = append(dst, hex...)
	dst = append(dst, "\r\n"...)
	dst = append(dst, block...)
	return append(dst, "\r\n"...)
}

// Unchunk returns the block in a chunk from AppendChunk, without copying it.
func Unchunk(chunk []byte) []byte {
	start, end := bytes.IndexByte(chunk, '\n')+1, len(chunk)-len("\r\n")
	return chunk[start:end:end]
}
