package wire

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strconv"
	"time"

	"github.com/trivium-hub/trivium/hub"
)

// EncodeSSE encodes FormSSE: one HTTP/1.1 chunk with the event's block (docs/protocol.md#server-sent-events), which
// has the fields id, event if the event has a type, topic, and data.
func EncodeSSE(e *hub.Event) []byte {
	s := newScratch(len(e.Data) + envelopeRoom)
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

// EncodeSSEEnvelope encodes FormSSEEnvelope: the same for ?envelope=1, where the block has the id
// and as data the envelope.
func EncodeSSEEnvelope(e *hub.Event) []byte {
	envelope, block := newScratch(len(e.Data)+envelopeRoom), newScratch(len(e.Data)+envelopeRoom)
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

// appendSSEField is for values that have no line end.
func appendSSEField(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, '\n')
}

// appendSSEData writes a data field for each line, at least one. A CR ends a line for the reader
// as much as LF does, so it must for the writer: else what follows it would be read as a field.
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

// appendSSEDataLine always has the space before a line, for the reader strips one: a line that
// begins with a space of its own keeps it.
func appendSSEDataLine(dst, line []byte) []byte {
	dst = append(dst, "data:"...)
	if len(line) > 0 {
		dst = append(dst, ' ')
		dst = append(dst, line...)
	}
	return append(dst, '\n')
}

// LastChunk ends a chunked body (RFC 9112, section 7.1).
const LastChunk = "0\r\n\r\n"

// AppendChunk appends the block as one chunk of an HTTP/1.1 body (RFC 9112, section 7.1). An empty
// block gives no chunk, since that would end the body.
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

// Unchunk gives the block inside one chunk that AppendChunk made, without a copy.
func Unchunk(chunk []byte) []byte {
	begin, end := bytes.IndexByte(chunk, '\n')+1, len(chunk)-len("\r\n")
	return chunk[begin:end:end]
}

// SSEMessage is a block that is not an event of a publisher. ID and Event have no line end.
type SSEMessage struct {
	Retry     time.Duration // 0: no such field; whole milliseconds are written
	ID, Event string        // empty: no such field
	Data      string        // empty: the field is there, and empty
}

// Append appends the block, with its fields in the order retry, event, id, data.
func (m SSEMessage) Append(dst []byte) []byte {
	if m.Retry != 0 {
		dst = append(dst, "retry: "...)
		dst = strconv.AppendInt(dst, m.Retry.Milliseconds(), 10)
		dst = append(dst, '\n')
	}
	if m.Event != "" {
		dst = appendSSEField(dst, "event", m.Event)
	}
	if m.ID != "" {
		dst = appendSSEField(dst, "id", m.ID)
	}
	return append(appendSSEData(dst, []byte(m.Data)), '\n')
}

// noMembers is the data of a control message that has only an id. It is not empty, since many
// libraries parse the data of every event as JSON.
const noMembers = "{}"

// AppendSSEOpen appends trivium.open, which begins a stream: id is the position at which the
// subscription begins, retry how long the client is to wait before it connects anew.
func AppendSSEOpen(dst []byte, retry time.Duration, id string) []byte {
	return SSEMessage{Retry: retry, Event: "trivium.open", ID: id, Data: noMembers}.Append(dst)
}

// AppendSSEHeartbeat appends trivium.heartbeat with the subscriber's position.
func AppendSSEHeartbeat(dst []byte, id string) []byte {
	return SSEMessage{Event: "trivium.heartbeat", ID: id, Data: noMembers}.Append(dst)
}

// AppendSSEGap appends trivium.gap; its id is where the gap ends.
func AppendSSEGap(dst []byte, g *hub.Gap) []byte {
	data := append(appendGapMembers([]byte{'{'}, g), '}')
	return SSEMessage{Event: "trivium.gap", ID: g.ResumedAt.String(), Data: string(data)}.Append(dst)
}

// AppendSSEError appends trivium.error, after which the stream ends. id is the subscriber's
// position; "" omits the field.
func AppendSSEError(dst []byte, retry time.Duration, id string, p *Problem) []byte {
	return SSEMessage{Retry: retry, Event: "trivium.error", ID: id, Data: string(p.AppendJSON(nil))}.Append(dst)
}

// AppendSSEGoaway appends trivium.goaway, after which the stream ends; the client is to come back
// after retry, at least a millisecond, and to resume at its position id.
func AppendSSEGoaway(dst []byte, retry time.Duration, id string) []byte {
	retry = max(retry, time.Millisecond)
	data := append(appendRetryMember([]byte{'{'}, retry), '}')
	return SSEMessage{Retry: retry, Event: "trivium.goaway", ID: id, Data: string(data)}.Append(dst)
}
