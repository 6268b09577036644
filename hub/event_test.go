package hub

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEventValidate(t *testing.T) {
	long := strings.Repeat("x", 128)
	for _, row := range []struct {
		rule              string
		event             *Event
		parameter, detail string
	}{
		{rule: "all members", event: &Event{Topic: "a", Type: "created", Key: "k", Data: []byte("1234")}},
		{rule: "longest type and key", event: &Event{Topic: "a", Type: long, Key: long}},
		{rule: "type similar to the hub's own", event: &Event{Topic: "a", Type: "trivium"}},
		{rule: "invalid topic", event: &Event{Topic: "a.*"}, parameter: "topic", detail: "only in filters"},
		{rule: "no topic", event: &Event{Type: "open"}, parameter: "topic", detail: "empty"},
		{rule: "long type", event: &Event{Topic: "a", Type: long + "x"}, parameter: "type", detail: "at most 128 bytes"},
		{rule: "type error", event: &Event{Topic: "a", Type: "error"}, parameter: "type", detail: "browser"},
		{rule: "type open", event: &Event{Topic: "a", Type: "open"}, parameter: "type", detail: "browser"},
		{rule: "type trivium.", event: &Event{Topic: "a", Type: "trivium.x"}, parameter: "type", detail: "reserved for the hub"},
		{rule: "control in type", event: &Event{Topic: "a", Type: "x\ny"}, parameter: "type", detail: "control"},
		{rule: "type not UTF-8", event: &Event{Topic: "a", Type: "\xff"}, parameter: "type", detail: "UTF-8"},
		{rule: "long key", event: &Event{Topic: "a", Key: long + "x"}, parameter: "key", detail: "at most 128 bytes"},
		{rule: "control in key", event: &Event{Topic: "a", Key: "\x7f"}, parameter: "key", detail: "control"},
		{rule: "too much data", event: &Event{Topic: "a", Data: []byte("12345")}, parameter: "data", detail: "at most 4 bytes"},
	} {
		t.Run(row.rule, func(t *testing.T) {
			err := row.event.Validate(4)
			requireInvalid(t, row.parameter, row.detail, err)
			if row.parameter != "" {
				require.Equal(t, row.parameter == "data", err.(*InvalidError).TooLarge)
			}
		})
	}
}
