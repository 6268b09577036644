package websocket_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/transports/internal/intake"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
)

func spaces(n int) string { return strings.Repeat(" ", n) }

// The memory of an incomplete message counts toward the budget. It is released when the message is
// complete or its connection ends.
func TestPartialMessagesCount(t *testing.T) {
	for name, cfg := range map[string]tt.Config{"direct": {}, "portable": {Portable: true}} {
		t.Run(name, func(t *testing.T) {
			cfg.Intake = intake.New(1)
			s := tt.Start(t, cfg)
			taken := func(want bool) {
				require.Eventually(t, func() bool { return cfg.Intake.Stats().Taken > 0 == want }, tt.Patience, time.Millisecond)
			}
			c := dial(t, s)
			require.NoError(t, c.Send(firstPart, pingCommand+spaces(60<<10)))
			taken(true)
			require.Less(t, cfg.Intake.Stats().Taken, int64(64<<10))
			require.NoError(t, c.Send(lastPart, ""))
			require.Equal(t, wire.OpAck, message(t, c).Op)
			taken(false)

			require.NoError(t, c.Send(firstPart, spaces(60<<10)))
			taken(true)
			c.Close()
			taken(false)
			require.Zero(t, cfg.Intake.Stats().Senders)
		})
	}
}

// If the budget has no memory for a message, the hub sends an error that names this cause, and closes
// the connection with a close code after which the client may reconnect.
func TestNoMemoryForMessage(t *testing.T) {
	budget := intake.New(1)
	held := budget.Open("token", 0)
	require.NoError(t, held.Resize(32<<20))
	fill := make([]*intake.Reservation, 0, 128)
	for range 128 {
		r := budget.Open("token", 0)
		require.NoError(t, r.Resize(intake.SmallSize))
		fill = append(fill, r)
	}
	s := tt.Start(t, tt.Config{Intake: budget})
	c := dial(t, s)
	require.Equal(t, wire.OpAck, exchange(t, c, pingCommand+spaces(2<<10)).Op, "there must be memory for a small message")
	require.NoError(t, c.Send(text, pingCommand+spaces(60<<10)))
	m := message(t, c)
	require.Equal(t, wire.OpError, m.Op)
	require.Equal(t, problems.CodeUnavailable, m.Problem.Code)
	require.Contains(t, m.Problem.Detail, "its share of the receive memory")
	requireClosed(t, c, 1013)

	held.Close()
	for _, r := range fill {
		r.Close()
	}
	c = dial(t, s)
	require.Equal(t, wire.OpAck, exchange(t, c, pingCommand+spaces(60<<10)).Op)
}

// If the rest of a message does not arrive in time, the hub closes the connection.
func TestMessageOverdue(t *testing.T) {
	for name, cfg := range map[string]tt.Config{"direct": {}, "portable": {Portable: true}} {
		t.Run(name, func(t *testing.T) {
			cfg.Intake, cfg.MessageTimeout = intake.New(1), 10*time.Millisecond
			s := tt.Start(t, cfg)
			idle, c := dial(t, s), dial(t, s)
			require.NoError(t, c.Send(firstPart, `{"op"`))
			m := message(t, c)
			require.Equal(t, wire.OpError, m.Op)
			require.Equal(t, problems.CodeRequestTimeout, m.Problem.Code)
			requireClosed(t, c, 4408)
			require.EqualValues(t, 1, cfg.Intake.Stats().Refused["receiving_time"])
			require.Equal(t, wire.OpAck, exchange(t, idle, pingCommand).Op, "there must be no timeout between messages")
		})
	}
}
