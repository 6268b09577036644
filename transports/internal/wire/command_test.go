package wire

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jsonscan"
)

type commandVector struct {
	Name string
	vectorInput
	Command *struct {
		Op, Ref             string
		Topics              []string
		Cursor, Last, Since *string
		Token               string
		IdempotencyKey      string `json:"idempotency_key"`
		Event               *vectorEvent
	}
	Refused string
	Ref     string // expected ref of a refused command
}

func TestParseCommand(t *testing.T) {
	for _, v := range loadIngress[commandVector](t, "command.json") {
		t.Run(v.Name, func(t *testing.T) {
			message := v.bytes()
			c, err := ParseCommand(message, 0)
			clear(message) // the connection reuses the buffer for its next message
			if v.Command == nil {
				requireRefused(t, v.Refused, err)
				require.Equal(t, v.Ref, string(c.Ref))
				return
			}
			require.NoError(t, err)
			want := v.Command
			require.Equal(t, want.Op, c.Op)
			require.Equal(t, want.Ref, string(c.Ref))
			require.Equal(t, want.Ref == "", c.Ref == nil)
			require.Equal(t, want.Topics, c.Topics)
			require.Equal(t, want.Cursor, c.Cursor)
			require.Equal(t, want.Last, c.Last)
			require.Equal(t, want.Since, c.Since)
			require.Equal(t, want.Token, c.Token)
			require.Equal(t, want.IdempotencyKey, c.IdempotencyKey)
			if want.Event == nil {
				require.Nil(t, c.Event)
				return
			}
			requireEvent(t, want.Event.event(), c.Event)
		})
	}
}

func TestCommandStart(t *testing.T) {
	c, err := ParseCommand([]byte(`{"op":"subscribe","last":10}`), 0)
	require.NoError(t, err)
	start, err := c.Start(time.Now())
	require.NoError(t, err)
	require.Equal(t, hub.Start{Last: 10}, start)

	c, err = ParseCommand([]byte(`{"op":"subscribe","last":1e1}`), 0)
	require.NoError(t, err)
	_, err = c.Start(time.Now())
	requireRefused(t, "last", err)

	c, err = ParseCommand([]byte(`{"op":"subscribe","cursor":"1f0c9a77-1","since":"1s"}`), 0)
	require.NoError(t, err)
	_, err = c.Start(time.Now())
	requireRefused(t, "since", err)

	c, err = ParseCommand([]byte(`{"op":"subscribe","cursor":"","last":2}`), 0)
	require.NoError(t, err)
	start, err = c.Start(time.Now())
	require.NoError(t, err)
	require.Equal(t, hub.Start{Last: 2}, start, "an empty cursor, which clients send before their first event, must be ignored")
}

// Parsing stops at the first filter above the limit, even if that filter is not a string.
func TestFiltersOfCommandCounted(t *testing.T) {
	for _, op := range []string{OpSubscribe, OpUnsubscribe} {
		command := func(n int, last string) []byte {
			return []byte(`{"op":"` + op + `","topic":[` + strings.Repeat(`"a",`, n-1) + last + `]}`)
		}
		c, err := ParseCommand(command(64, `"a"`), 64)
		require.NoError(t, err)
		require.Len(t, c.Topics, 64)
		c, err = ParseCommand(command(65, `1`), 64)
		requireRefused(t, "topic", err)
		require.ErrorContains(t, err, "at most 64 filters")
		require.Equal(t, op, c.Op)
		large := command(16_000, `"a"`)
		require.Less(t, testing.AllocsPerRun(10, func() { _, _ = ParseCommand(large, 64) }), 300.0)
		c, err = ParseCommand(large, 0)
		require.NoError(t, err)
		require.Len(t, c.Topics, 16_000)
	}
}

// ParseCommand returns only refs that are valid JSON strings or numbers, so that an answer may contain
// them. An accepted command contains the fields that its operation requires.
func FuzzParseCommand(f *testing.F) {
	for _, v := range loadIngress[commandVector](f, "command.json") {
		f.Add(v.bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCommand(b, 0)
		require.LessOrEqual(t, len(c.Ref), maxRefLen)
		if c.Ref != nil {
			require.True(t, jsonscan.Valid(c.Ref))
			require.Contains(t, `"-0123456789`, string(c.Ref[:1]))
		}
		if err != nil {
			var invalid *hub.InvalidError
			require.ErrorAs(t, err, &invalid)
			return
		}
		switch c.Op {
		case OpPublish:
			require.NotNil(t, c.Event)
		case OpUnsubscribe:
			require.NotEmpty(t, c.Topics)
		case OpAuth:
			require.NotEmpty(t, c.Token)
		case OpSubscribe, OpPing:
		default:
			t.Fatalf("op %q was accepted", c.Op)
		}
	})
}
