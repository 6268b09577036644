package board

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/transports/client"
)

func TestFormatting(t *testing.T) {
	require.Equal(t, []string{"0", "999", "1,000", "1,234,567"}, []string{Count(0), Count(999), Count(1000), Count(1234567)})
	require.Equal(t, []string{"0.0", "9.9", "10", "1,000"}, []string{PerSecond(0), PerSecond(9.94), PerSecond(10), PerSecond(999.6)})
	require.Equal(t, []string{"0.1 ms", "35 ms", "1.2 s", "61 s"}, []string{
		Span(100 * time.Microsecond), Span(35 * time.Millisecond), Span(1234 * time.Millisecond), Span(61 * time.Second),
	})
	require.Equal(t, "07:05:09.042", Moment(time.Date(2026, 1, 2, 7, 5, 9, 42e6, time.UTC)))
	problem := &client.Problem{Status: 401, Title: "Token ended", Detail: "the token has expired or was revoked"}
	require.Equal(t, "401 Token ended: the token has expired or was revoked", Reason(&client.FinalError{Status: 401, Err: fmt.Errorf("wrapped: %w", problem)}))
	require.Contains(t, Reason(fmt.Errorf("wrapped: %w", context.DeadlineExceeded)), "no answer arrived in time; perhaps other tabs")
	require.Equal(t, "the connection was lost", Reason(errors.New("client: TypeError")))
	require.Equal(t, "no answer", Reason(errors.New("client: no answer: TypeError")))
	require.Equal(t, "closed", Reason(errors.New("client: closed")))
	require.Equal(t, "Events may be lost here: the hub started a new log.", GapText(&client.Gap{Reason: "epoch"}))
}

func TestFormNamesTheInvalidField(t *testing.T) {
	good := Form{Topic: "a.b", Data: ` {"x": 1} `}
	e, field, _ := good.Event()
	require.Equal(t, `{"x": 1}`, string(e.Data))
	require.Empty(t, field)
	for want, change := range map[string]func(*Form){
		"topic": func(f *Form) { f.Topic = "a..b" },
		"type":  func(f *Form) { f.Type = "trivium.x" },
		"key":   func(f *Form) { f.Key = "a\nb" },
		"data":  func(f *Form) { f.Data = "{" },
	} {
		f := good
		change(&f)
		e, field, fault := f.Event()
		require.Nil(t, e)
		require.Equal(t, want, field)
		require.NotEmpty(t, fault)
	}
	text := Form{Topic: "a", Data: "{", Text: true}
	e, field, _ = text.Event()
	require.Equal(t, client.Text, e.Encoding)
	require.Empty(t, field)
}

// TestSnippetsContainToken checks where the token is in each snippet. A browser test runs the
// snippets.
func TestSnippetsContainToken(t *testing.T) {
	s := NewSnippets("https://hub.example/x", "t0ken")
	require.Contains(t, s.EventSource, `"https://hub.example/x/sse?envelope=1&access_token=t0ken&cursor="`)
	require.Contains(t, s.WebSocket, `"wss://hub.example/x/ws"`)
	require.Contains(t, s.WebSocket, `["trivium.v1", "trivium.bearer.t0ken"]`)
	require.Contains(t, s.Polling, `Authorization: "Bearer t0ken", `)
	require.Equal(t, `curl -N https://hub.example/x/sse -H 'Authorization: Bearer t0ken'`, s.Curl)
	require.Equal(t, `curl -N 'https://hub.example/a'\''b&c/sse'`, NewSnippets("https://hub.example/a'b&c", "").Curl)
	open := NewSnippets("http://localhost:3000", "")
	for _, snippet := range []string{open.EventSource, open.WebSocket, open.Polling, open.Curl} {
		require.NotRegexp(t, "QUERY|HEADER|PROTOCOLS|ORIGIN|SOCKETS|token|[Bb]earer", snippet)
	}
}
