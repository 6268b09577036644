package wire

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
)

// nested returns JSON arrays that are nested in the given number of levels. The innermost element is a
// string that contains brackets, which must not count as nesting.
func nested(levels int) string {
	return strings.Repeat("[", levels) + `"[[{\"[{"` + strings.Repeat("]", levels)
}

func TestNestingLimit(t *testing.T) {
	envelope := func(data string) string { return fmt.Sprintf(`{"op":"publish","topic":"a","data":%s}`, data) }
	udp := func(data string) error {
		f := DatagramFormat{Topic: "a"}
		var refused error
		events := f.Parse(nil, []byte(data), func(reason string) { refused = fmt.Errorf("levels: %s", reason) })
		require.Equal(t, refused == nil, len(events) == 1)
		return refused
	}
	for name, publish := range map[string]func(data string) error{
		"envelope": func(data string) error { _, err := ParseEnvelope([]byte(envelope(data))); return err },
		"array":    func(data string) error { _, err := ParseEnvelopes([]byte("["+envelope(data)+"]"), 10); return err },
		"body":     func(data string) error { _, _, err := ParseBody([]byte(data), "application/json"); return err },
		"bare":     func(data string) error { _, _, err := ParseBody([]byte(data), ""); return err },
		"command":  func(data string) error { _, err := ParseCommand([]byte(envelope(data)), 0); return err },
		"datagram": udp, "datagram envelope": func(data string) error { return udp(envelope(data)) },
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, publish(nested(maxNesting)))
			require.NoError(t, publish(strings.Repeat("[[],", maxNesting-1)+"[]"+strings.Repeat("]", maxNesting-1)))
			for _, levels := range []int{maxNesting + 1, maxDepth - 3, maxDepth, 5 * maxDepth} {
				require.ErrorContains(t, publish(nested(levels)), "levels", "%d", levels)
			}
		})
	}
}

// If data has the maximum nesting, its envelope and a poll answer that contains it can be decoded.
func TestDeepestNestingIsReadable(t *testing.T) {
	e := &hub.Event{Topic: "a", Data: []byte(nested(maxNesting))}
	_, err := DecodeEnvelope(AppendEnvelope(nil, e))
	require.NoError(t, err)
	_, err = DecodePollAnswer([]byte(`{"cursor":"x","events":[` + string(AppendEnvelope(nil, e)) + `]}`))
	require.NoError(t, err)
}
