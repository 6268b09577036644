package jetstream

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// A message from another program becomes an event only if the hub would have accepted that event.
func TestDecodeForeignMessages(t *testing.T) {
	e := newEngine(t, Config{Store: t.TempDir()})
	for _, row := range []struct {
		name, subject, about, data string
		event                      bool
	}{
		{"JSON", "trivium.a", "", `{"a":1}`, true},
		{"text", "trivium.a", "", "no json", true},
		{"binary", "trivium.a", "", "\xff", true},
		{"type and key", "trivium.a.b", "j/type/key", "1", true},
		{"invalid JSON", "trivium.a", "j//", "no json", false},
		{"JSON that is not UTF-8", "trivium.a", "j", "\"\xff\"", false},
		{"text that is not UTF-8", "trivium.a", "t", "\xff", false},
		{"declared binary", "trivium.a", "b", "\xff", true},
		{"unknown encoding", "trivium.a", "x", "1", false},
		{"a type reserved by browsers", "trivium.a", "j/error", "1", false},
		{"invalid escape in the key", "trivium.a", "j//%", "1", false},
		{"a reserved topic", "trivium.$a", "", "1", false},
		{"another subject", "other.a", "", "1", false},
	} {
		var headers nats.Header
		if row.about != "" {
			headers = nats.Header{headerEvent: {row.about}}
		}
		got := e.decode(headers, []byte(row.data), row.subject, 1, time.Now())
		require.Equal(t, row.event, got != nil, row.name)
	}
}
