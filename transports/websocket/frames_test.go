package websocket_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
)

// frame returns a masked frame.
func frame(first byte, payload string) string {
	return string(tt.AppendFrame(nil, first, []byte(payload)))
}

const (
	text         = tt.Fin | tt.TextFrame
	binary       = tt.Fin | 0x2
	firstPart    = tt.TextFrame
	continuation = 0x0
	lastPart     = tt.Fin
	closing      = tt.Fin | tt.CloseFrame
	ping         = tt.Fin | tt.PingFrame
)

const pingCommand = `{"op":"ping","ref":1}`

func TestProtocolViolations(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	for _, tc := range []struct {
		name string
		sent string
		code int
	}{
		{"unmasked", "\x81\x02{}", 1002},
		{"RSV1 without an extension", frame(text|tt.Compressed, "{}"), 1002},
		{"RSV2", frame(text|0x20, "{}"), 1002},
		{"RSV3", frame(text|0x10, "{}"), 1002},
		{"reserved data opcode", frame(tt.Fin|0x3, "{}"), 1002},
		{"reserved control opcode", frame(tt.Fin|0xb, ""), 1002},
		{"fragmented control", frame(tt.PingFrame, "a"), 1002},
		{"long control", frame(ping, of(126)), 1002},
		{"continuation without a message", frame(lastPart, "{}"), 1002},
		{"message within a message", frame(firstPart, "{") + frame(text, "{}"), 1002},
		{"close with one byte", frame(closing, "\x03"), 1002},
		{"close with 0", frame(closing, "\x00\x00"), 1002},
		{"close with 999", frame(closing, "\x03\xe7"), 1002},
		{"close with 1004", frame(closing, "\x03\xec"), 1002},
		{"close with 1005", frame(closing, "\x03\xed"), 1002},
		{"close with 1006", frame(closing, "\x03\xee"), 1002},
		{"close with 1015", frame(closing, "\x03\xf7"), 1002},
		{"close with 2999", frame(closing, "\x0b\xb7"), 1002},
		{"close with 5000", frame(closing, "\x13\x88"), 1002},
		{"close with an invalid code and the maximum length", frame(closing, "\x00\x00"+of(123)), 1002},
		{"close with a long reason", frame(closing, "\x03\xe8"+of(124)), 1002},
		{"close with a reason not UTF-8", frame(closing, "\x03\xe8\xff"), 1007},
		{"binary", frame(binary, "{}"), 1003},
		{"binary in parts", frame(0x2, "{") + frame(lastPart, "}"), 1003},
		{"text not UTF-8", frame(text, "\"\xff\""), 1007},
		{"incomplete character", frame(text, "\"\xe6\x97"), 1007},
		{"too big", frame(text, of(65537)), 1009},
		{"too big in parts", frame(firstPart, of(65536)) + frame(lastPart, "a"), 1009},
		{"much too big", frame(text, of(1<<20)), 1009},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := dial(t, s)
			_, err := c.Write([]byte(tc.sent + frame(text, pingCommand)))
			require.NoError(t, err)
			requireClosed(t, c, tc.code)
		})
	}
}

func TestClose(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	for name, payload := range map[string]string{
		"without a code":     "",
		"1000":               "\x03\xe8",
		"reason":             "\x03\xe9" + "going",
		"reason of 123":      "\x0b\xb8" + of(123),
		"of the application": "\x13\x87",
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, s)
			require.NoError(t, c.Send(closing, payload))
			f, err := c.Receive()
			require.NoError(t, err)
			require.Equal(t, tt.Frame{First: closing, Payload: []byte(payload)}, f, "the hub must echo the close frame")
			requireEnd(t, c)
		})
	}
}

func TestPing(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	c := dial(t, s)
	for _, payload := range []string{"", "a", of(125)} {
		require.NoError(t, c.Send(ping, payload))
		f, err := c.Receive()
		require.NoError(t, err)
		require.Equal(t, tt.Frame{First: tt.Fin | tt.PongFrame, Payload: []byte(payload)}, f)
	}
	require.NoError(t, c.Send(tt.Fin|tt.PongFrame, "unasked"))

	between := frame(firstPart, pingCommand[:5]) + frame(ping, "between") +
		frame(continuation, "") + frame(continuation, pingCommand[5:9]) + frame(lastPart, pingCommand[9:])
	_, err := c.Write([]byte(between))
	require.NoError(t, err)
	f, err := c.Receive()
	require.NoError(t, err)
	require.Equal(t, "between", string(f.Payload))
	m := message(t, c)
	require.Equal(t, wire.OpAck, m.Op)
	require.Equal(t, "1", string(m.Ref))
}

func TestLargestMessage(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	c := dial(t, s)
	head, tail := `{"op":"ping","ref":2,"pad":"`, `"}`
	m := exchange(t, c, head+of(65536-len(head)-len(tail))+tail)
	require.Equal(t, wire.OpAck, m.Op, "%v", m.Problem)
}

func TestRate(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	c := dial(t, s)
	const sent = 3000 // many more than the limit, which admits 100 further messages if the machine pauses the hub
	_, err := c.Write([]byte(strings.Repeat(frame(text, pingCommand), sent)))
	require.NoError(t, err)
	acks := 0
	for {
		m, err := c.Message()
		if err == nil && m.Op == wire.OpAck {
			acks++
			continue
		}
		require.NoError(t, err)
		require.Equal(t, problems.CodeRateLimited, m.Problem.Code)
		break
	}
	require.GreaterOrEqual(t, acks, 100)
	require.Less(t, acks, sent/2)
	requireClosed(t, c, 1008)
}

// The hub handles messages that arrive in the same segment as the handshake, and messages that arrive byte
// by byte.
func TestSegments(t *testing.T) {
	for name, cfg := range map[string]tt.Config{"direct": {}, "portable": {Portable: true}, "TLS": {TLS: true}} {
		t.Run(name, func(t *testing.T) {
			s := tt.Start(t, cfg)
			c, err := s.DialSocket(tt.Query(), nil, []byte(frame(text, pingCommand)+frame(text, `{"op":"ping","ref":"two"}`)))
			require.NoError(t, err)
			defer c.Close()
			require.Equal(t, wire.OpHello, message(t, c).Op)
			require.Equal(t, "1", string(message(t, c).Ref))
			require.Equal(t, `"two"`, string(message(t, c).Ref))
			for _, b := range []byte(frame(firstPart, pingCommand[:9]) + frame(lastPart, pingCommand[9:])) {
				_, err := c.Write([]byte{b}) // each byte is one segment, because Go sets TCP_NODELAY
				require.NoError(t, err)
			}
			require.Equal(t, "1", string(message(t, c).Ref))
		})
	}
}

// Clients close connections in several ways while events are published as fast as possible. The hub must
// not send any frame after its close frame.
func TestNoFrameAfterClose(t *testing.T) {
	for name, portable := range map[string]bool{"direct": false, "portable": true} {
		t.Run(name, func(t *testing.T) {
			s := tt.Start(t, tt.Config{Portable: portable, Heartbeat: 100 * time.Millisecond})
			stop, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				for {
					select {
					case <-stop:
						return
					default:
						s.Publish(t, tt.JSON("t", `"`+of(300)+`"`))
					}
				}
			}()
			t.Cleanup(func() {
				close(stop)
				<-done
			})
			for _, sent := range []string{frame(closing, "\x03\xe8"), frame(binary, ""), frame(tt.Fin|0x3, ""), frame(text, "\xff")} {
				c := dial(t, s)
				_, err := c.Write([]byte(sent))
				require.NoError(t, err)
				for err == nil {
					_, err = c.Message()
				}
				var ended *tt.Ended
				require.ErrorAs(t, err, &ended)
				// The test does not answer the close frame, so the hub keeps the connection open until its
				// timeout. If the hub sent further data, it would arrive before the timeout.
				rest, err := io.ReadAll(c.Conn)
				require.NoError(t, err)
				require.Empty(t, rest, "after %v", ended)
			}
		})
	}
}

func TestHandshakeRefused(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	for name, row := range map[string]struct {
		header map[string][]string
		status int
	}{
		"version":   {map[string][]string{"Sec-Websocket-Version": {"8"}}, 426},
		"no key":    {map[string][]string{"Sec-Websocket-Key": nil}, 400},
		"short key": {map[string][]string{"Sec-Websocket-Key": {"AAAA"}}, 400},
		"two keys":  {map[string][]string{"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=="}}, 400},
		"upgrade":   {map[string][]string{"Upgrade": {"h2c"}}, 426},
	} {
		_, err := s.DialSocket(tt.Query(), row.header, nil)
		var refusal *tt.Refusal
		require.True(t, errors.As(err, &refusal), "%s: %v", name, err)
		require.Equal(t, row.status, refusal.Status, name)
		if row.status == 426 {
			require.Equal(t, "13", refusal.Header.Get("Sec-WebSocket-Version"))
		}
	}
}
