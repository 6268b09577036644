package hubs

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/decode"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/natstest"
	"github.com/trivium-hub/trivium/hub"
)

// A ticket that one hub of a cluster has issued is accepted only once, by any of the hubs and on any
// transport. A connection that was opened with a ticket is closed when the token of the ticket is
// removed from the tokens file.
func TestTicketIsAcceptedOnceByAnyHub(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*hubtest.Patience)
	defer cancel()
	token, tokens := auth.NewToken(), filepath.Join(t.TempDir(), "tokens.yaml")
	filter, err := hub.ParseFilter("a.>")
	require.NoError(t, err)
	file, err := auth.AppendToken(nil, auth.TokenEntry{Name: "page", Token: token, Subscribe: []hub.Filter{filter}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(tokens, file, 0o600))
	args := append(hubtest.AnyPorts, "--tokens", tokens, "--engine", "nats", "--nats-url", natstest.Serve(t).ClientURL(), "--max-event-bytes", "64KiB")
	issuer, other := hubtest.Start(t, hubtest.Program(t, nil, args...)), hubtest.Start(t, hubtest.Program(t, nil, args...))
	issuer.Token, other.Token = token, ""

	ticket := func() string {
		status, text := issuer.Request(http.MethodPost, "http://"+issuer.HTTP+"/ticket", "", "")
		require.Equal(t, http.StatusOK, status, text)
		var answer struct {
			Ticket  string
			Expires int `json:"expires_in"`
		}
		require.NoError(t, json.Unmarshal([]byte(text), &answer))
		require.Equal(t, 30, answer.Expires)
		return answer.Ticket
	}
	open := func(p *hubtest.Process, path string) *http.Response {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.HTTP+path, nil)
		require.NoError(t, err)
		response, err := p.Client.Do(r)
		require.NoError(t, err)
		t.Cleanup(func() { response.Body.Close() })
		return response
	}
	// inTime sends a request with a new ticket, and returns the answer and the ticket. On a busy
	// machine, the ticket may expire before the request arrives, or the other hub or NATS may not
	// answer within two seconds. The function then sends another request with another ticket.
	inTime := func(p *hubtest.Process, path string) (*http.Response, string) {
		for {
			begin, text := time.Now(), ticket()
			response := open(p, path+"ticket="+text)
			isLate := response.StatusCode == http.StatusUnauthorized && time.Since(begin) > 25*time.Second
			if response.StatusCode != http.StatusServiceUnavailable && !isLate {
				return response, text
			}
		}
	}
	requireUsed := func(text string) {
		for _, p := range []*hubtest.Process{other, issuer} {
			response := open(p, "/sse?ticket="+text)
			for response.StatusCode == http.StatusServiceUnavailable {
				response = open(p, "/sse?ticket="+text)
			}
			require.Equal(t, http.StatusUnauthorized, response.StatusCode)
		}
	}
	for _, p := range []*hubtest.Process{other, issuer} {
		response, poll := inTime(p, "/poll?wait=0&")
		require.Equal(t, http.StatusOK, response.StatusCode)
		requireUsed(poll)
		for hello := (decode.Message{}); hello.Op != decode.OpHello; { // on a busy machine, an error message may come instead; see inTime
			socket := ticket()
			conn, _, err := websocket.Dial(ctx, "ws://"+p.HTTP+"/ws?ticket="+socket, &websocket.DialOptions{HTTPClient: p.Client})
			if err != nil {
				require.NoError(t, ctx.Err())
				continue
			}
			hello = p.Message(conn)
			require.NoError(t, conn.CloseNow())
			requireUsed(socket)
		}
	}
	response, _ := inTime(other, "/sse?topic=b&")
	require.Equal(t, http.StatusForbidden, response.StatusCode, "a ticket has only the rights of its token")
	response, last := inTime(other, "/sse?")
	require.Equal(t, http.StatusOK, response.StatusCode)
	events := decode.NewSSEDecoder(response.Body)
	replaced, err := auth.AppendToken(nil, auth.TokenEntry{Name: "page", Token: auth.NewToken(), Subscribe: []hub.Filter{filter}})
	require.NoError(t, err)
	hubtest.ReplaceFile(t, tokens, string(replaced))
	for e, err := events.Next(); e.Type != "trivium.error"; e, err = events.Next() {
		require.NoError(t, err)
	}
	for _, p := range []*hubtest.Process{issuer, other} {
		require.NotContains(t, p.Log(), last)
	}
}
