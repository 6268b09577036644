package board

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/trivium-hub/trivium/hub"
)

// Form holds the fields of an event as the user has written them.
type Form struct {
	Topic, Type, Key, Data string
	Text                   bool // the data is text; otherwise it is JSON
}

// Event returns the event. If a field is invalid, Event returns the name of the first invalid field
// ("topic", "type", "key" or "data") and the reason.
func (f Form) Event() (e *hub.Event, field, fault string) {
	e = &hub.Event{Topic: f.Topic, Type: f.Type, Key: f.Key, Data: []byte(f.Data), Encoding: hub.Text}
	if !f.Text {
		e.Encoding = hub.JSON
		e.Data = []byte(strings.Trim(f.Data, " \t\r\n"))
	}
	if invalid, ok := errors.AsType[*hub.InvalidError](e.Validate(hub.DefaultMaxEventSize)); ok {
		return nil, invalid.Parameter, invalid.Detail
	}
	if f.Text {
		return e, "", ""
	}
	if err := json.Compact(new(bytes.Buffer), e.Data); err != nil { // its error contains the offset, and it needs no reflection
		return nil, "data", "not valid JSON: " + err.Error()
	}
	return e, "", ""
}
