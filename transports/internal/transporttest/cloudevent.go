package transporttest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// asCloudEvents returns the request with the query parameter format=cloudevents, unless the test has set
// a format.
func asCloudEvents(ask Request) Request {
	ask.Query = maps.Clone(ask.Query)
	if ask.Query == nil {
		ask.Query = url.Values{}
	}
	if !ask.Query.Has("format") {
		ask.Query.Set("format", "cloudevents")
	}
	return ask
}

// isCloudEvent reports whether a message is a CloudEvent, and not a control message.
func isCloudEvent(message []byte) bool {
	var m map[string]json.RawMessage
	return json.Unmarshal(message, &m) == nil && m["specversion"] != nil
}

// decodeCloudEvent decodes the CloudEvent that the hub has created for an event. The event must not have
// been published as a CloudEvent.
func decodeCloudEvent(b []byte) (*hub.Event, error) {
	var c struct {
		SpecVersion string          `json:"specversion"`
		ID          string          `json:"id"`
		Source      string          `json:"source"`
		Type        string          `json:"type"`
		Subject     string          `json:"subject"`
		ContentType string          `json:"datacontenttype"`
		Data        json.RawMessage `json:"data"`
		Base64      *string         `json:"data_base64"`
		Cursor      string          `json:"triviumcursor"`
		Topic       string          `json:"triviumtopic"`
		Key         string          `json:"triviumkey"`
		Time        string          `json:"time"`
		HubTime     string          `json:"triviumtime"`
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, err
	}
	if c.SpecVersion != "1.0" || c.Source != CloudEventsSource || c.Subject != c.Topic || c.ID != c.Cursor || c.Time != c.HubTime {
		return nil, fmt.Errorf("unexpected members of a CloudEvent from the hub: %s", b)
	}
	id, err := hub.ParseCursor(c.ID)
	e := &hub.Event{ID: id, Topic: c.Topic, Key: c.Key, Data: c.Data}
	if c.Type != "message" {
		e.Type = c.Type
	}
	switch {
	case err != nil:
	case c.Base64 != nil && c.ContentType == "application/octet-stream":
		e.Encoding = hub.Binary
		e.Data, err = base64.StdEncoding.DecodeString(*c.Base64)
	case c.ContentType == "text/plain":
		var text string
		e.Encoding, err = hub.Text, json.Unmarshal(c.Data, &text)
		e.Data = []byte(text)
	case c.ContentType != "application/json":
		err = errors.New("unexpected content type " + c.ContentType)
	}
	return e, err
}

// decodeCloudEventAnswer decodes a poll answer whose events are CloudEvents.
func decodeCloudEventAnswer(b []byte) (wire.PollAnswer, error) {
	var body struct {
		Cursor string            `json:"cursor"`
		Gap    json.RawMessage   `json:"gap"`
		Events []json.RawMessage `json:"events"`
	}
	if err := json.Unmarshal(b, &body); err != nil {
		return wire.PollAnswer{}, err
	}
	answer := wire.PollAnswer{Cursor: body.Cursor}
	var err error
	if body.Gap != nil {
		if answer.Gap, err = wire.DecodeGap(body.Gap); err != nil {
			return answer, err
		}
	}
	for _, text := range body.Events {
		e, err := decodeCloudEvent(text)
		if err != nil {
			return answer, err
		}
		answer.Events = append(answer.Events, e)
	}
	return answer, nil
}
