package wire

import (
	"encoding/base64"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jsonscan"
)

// DefaultCloudEventsSource is the default source attribute of events that were not published as
// CloudEvents.
const DefaultCloudEventsSource = "urn:trivium:hub"

// defaultCloudEventType is the type attribute of events that were published without a type. Browsers
// use the same name for an SSE event without a type.
const defaultCloudEventType = "message"

// The hub's extension attributes. If a published CloudEvent already has such an attribute, because the
// publisher received the event from a hub, the hub replaces the attribute.
const (
	attributeCursor = "triviumcursor"
	attributeTopic  = "triviumtopic"
	attributeKey    = "triviumkey"
	attributeTime   = "triviumtime"
)

// AppendCloudEvent appends the event in the JSON format of CloudEvents 1.0. If the event's data is a
// CloudEvent, AppendCloudEvent keeps its members byte for byte, but omits members that are null.
// Otherwise it creates a CloudEvent, with the event's ID as id, its topic as subject, and the given
// source. In both cases it adds the event's cursor, topic, key and time as extension attributes.
func AppendCloudEvent(dst []byte, e *hub.Event, source string) []byte {
	if e.Encoding == hub.JSON && looksLikeCloudEvent(e.Data) {
		if _, err := ParseCloudEvent(e.Data); err == nil {
			return appendPublishedCloudEvent(dst, e)
		}
	}
	dst = append(dst, `{"specversion":"1.0","id":"`...)
	dst = e.ID.AppendText(dst)
	dst = append(dst, `","source":`...)
	dst = jsonscan.AppendString(dst, source)
	dst = append(dst, `,"type":`...)
	if e.Type != "" {
		dst = jsonscan.AppendString(dst, e.Type)
	} else {
		dst = jsonscan.AppendString(dst, defaultCloudEventType)
	}
	dst = append(dst, `,"subject":`...)
	dst = jsonscan.AppendString(dst, e.Topic)
	dst = append(dst, `,"time":`...)
	dst = appendTime(dst, e.Time)
	dst = append(appendHubAttributes(append(dst, ','), e), ',')
	switch e.Encoding {
	case hub.Text:
		dst = append(dst, `"datacontenttype":"text/plain","data":`...)
		dst = jsonscan.AppendString(dst, e.Data)
	case hub.Binary:
		dst = append(dst, `"datacontenttype":"application/octet-stream","data_base64":"`...)
		dst = append(base64.StdEncoding.AppendEncode(dst, e.Data), '"')
	default:
		dst = append(dst, `"datacontenttype":"application/json","data":`...)
		dst = append(dst, jsonData(e)...)
	}
	return append(dst, '}')
}

// appendPublishedCloudEvent appends the CloudEvent that is the event's data, with the hub's extension
// attributes.
func appendPublishedCloudEvent(dst []byte, e *hub.Event) []byte {
	dst = append(dst, '{')
	_ = jsonscan.Members(e.Data, func(name string, value []byte) error {
		if string(value) == "null" && name != "data" {
			return nil // null means absent, and the CloudEvents SDK for Go cannot parse it
		}
		switch name {
		case attributeCursor, attributeTopic, attributeKey, attributeTime:
			return nil
		}
		dst = append(jsonscan.AppendString(dst, name), ':')
		dst = append(append(dst, value...), ',')
		return nil
	})
	return append(appendHubAttributes(dst, e), '}')
}

func appendHubAttributes(dst []byte, e *hub.Event) []byte {
	dst = append(dst, `"`+attributeCursor+`":"`...)
	dst = e.ID.AppendText(dst)
	dst = append(dst, `","`+attributeTopic+`":`...)
	dst = jsonscan.AppendString(dst, e.Topic)
	if e.Key != "" {
		dst = append(dst, `,"`+attributeKey+`":`...)
		dst = jsonscan.AppendString(dst, e.Key)
	}
	dst = append(dst, `,"`+attributeTime+`":`...)
	return appendTime(dst, e.Time)
}

func appendTime(dst []byte, t time.Time) []byte {
	dst = append(dst, '"')
	return append(t.UTC().AppendFormat(dst, time.RFC3339Nano), '"')
}

// CloudEvents encodes events for ?format=cloudevents.
type CloudEvents struct {
	Source string // source attribute of events that were not published as CloudEvents
}

// EncodeSSE returns the event as FormSSECloudEvent: an SSE block in one HTTP/1.1 chunk. The block
// consists of the id and the CloudEvent as data.
func (c CloudEvents) EncodeSSE(e *hub.Event) []byte {
	s, block := c.encode(e), newScratch(len(e.Data)+envelopeOverhead)
	defer s.free()
	defer block.free()
	block.b = appendSSEID(block.b, e.ID)
	block.b = appendSSEData(block.b, s.b)
	block.b = append(block.b, '\n')
	return AppendChunk(nil, block.b)
}

// EncodeFrame returns the event as FormFrameCloudEvent: the CloudEvent in one unmasked text frame.
func (c CloudEvents) EncodeFrame(e *hub.Event) []byte {
	s := c.encode(e)
	defer s.free()
	return AppendTextFrame(nil, s.b)
}

// encode returns the CloudEvent in a buffer that the caller must free.
func (c CloudEvents) encode(e *hub.Event) *scratch {
	s := newScratch(len(e.Data) + envelopeOverhead)
	s.b = AppendCloudEvent(s.b, e, c.Source)
	return s
}
