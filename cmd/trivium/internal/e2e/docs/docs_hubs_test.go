package docs

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// exampleHub is a hub for the examples of docs/protocol.md. Its log contains three events, with the
// topics orders.eu, orders.us and notes.welcome.
type exampleHub struct {
	*hubtest.Process
	epoch  string
	tokens string // path of the tokens file, if the hub has one
}

// exampleHubs maps the names by which examples select a hub to the flags with which it is started and
// to a function that prepares it. The path of the tokens file replaces %s in the flags.
var exampleHubs = map[string]struct {
	flags   string
	prepare func(*testing.T, *exampleHub)
}{
	"":                {},
	"open":            {flags: "--auth none --drain 3s"},
	"heartbeat":       {flags: "--heartbeat 100ms"},
	"short-retention": {flags: "--retain-events 2"},
	"tokens":          {flags: "--tokens %s"},
	"small-messages":  {flags: "--max-message-bytes 64 --max-message-fragments 1 --max-event-bytes 64"},
	"impatient":       {flags: "--read-timeout 5s"}, // the timeout of a WebSocket message is six times as long
	"full":            {flags: "--max-connections 1", prepare: func(_ *testing.T, h *exampleHub) { h.SSE("") }},
	"slow-publishing": {flags: "--tokens %s --max-publish-rate 1", prepare: overdrawRate},
	"draining":        {flags: "--auth none --drain 12h", prepare: beginDrain},
}

// exampleActions maps the values of the attribute "then" of an example to actions.
var exampleActions = map[string]func(*testing.T, *exampleHub){
	"drain":  func(_ *testing.T, h *exampleHub) { h.Signal(syscall.SIGTERM) },
	"revoke": func(t *testing.T, h *exampleHub) { h.writeTokens(t, "") },
	"narrow": func(t *testing.T, h *exampleHub) { h.writeTokens(t, "alice: invoices.>") },
}

func (h *exampleHub) do(t *testing.T, action string) {
	require.Contains(t, exampleActions, action)
	exampleActions[action](t, h)
}

func startExampleHub(t *testing.T, name string) *exampleHub {
	t.Helper()
	require.Contains(t, exampleHubs, name)
	kind := exampleHubs[name]
	h := &exampleHub{tokens: filepath.Join(t.TempDir(), "tokens.yaml")}
	args := append([]string{}, hubtest.AnyPorts...)
	for flag := range strings.FieldsSeq(kind.flags) {
		if flag == "%s" {
			flag = h.tokens
			h.writeTokens(t, "alice: orders.>", "bob: orders.>")
		}
		args = append(args, flag)
	}
	h.Process = hubtest.Start(t, hubtest.Program(t, nil, args...))
	hasTokens := strings.Contains(kind.flags, "--tokens")
	if hasTokens {
		h.Token = tokenOf("bob")
	}
	answer := h.Publish("application/json", `[
		{"topic":"orders.eu","type":"paid","key":"17","data":{"total":1.50}},
		{"topic":"orders.us","type":"paid","key":"18","data":{"total":2.00}},
		{"topic":"notes.welcome","data":"welcome","text":true}]`)
	var receipt struct{ ID string }
	require.NoError(t, json.Unmarshal([]byte(answer), &receipt))
	h.epoch, _, _ = strings.Cut(receipt.ID, "-")
	if hasTokens { // the token of alice has not used up its rate limit
		h.Token = tokenOf("alice")
	}
	if kind.prepare != nil {
		kind.prepare(t, h)
	}
	return h
}

func tokenOf(name string) string { return "token-of-" + name }

// writeTokens replaces the tokens in the file. Each argument consists of the name of a token, a colon
// and a filter of the topics to which the token may subscribe. If an argument is empty, the file contains no tokens.
func (h *exampleHub) writeTokens(t *testing.T, rights ...string) {
	text := "tokens:\n"
	for _, right := range rights {
		name, filter, found := strings.Cut(right, ": ")
		if !found {
			text = "tokens: []\n"
			break
		}
		text += fmt.Sprintf("  - name: %s\n    sha256: %x\n    subscribe: [%s]\n    publish: ['>']\n", name, sha256.Sum256([]byte(tokenOf(name))), filter)
	}
	draft := h.tokens + ".new"
	require.NoError(t, os.WriteFile(draft, []byte(text), 0o600))
	require.NoError(t, os.Rename(draft, h.tokens))
}

// overdrawRate publishes many more events than the rate limit allows.
func overdrawRate(_ *testing.T, h *exampleHub) {
	h.Publish("application/json", "["+strings.Repeat(`{"topic":"many","data":1},`, 999)+`{"topic":"many","data":1}]`)
}

// beginDrain makes the hub drain. The drain lasts longer than the example.
func beginDrain(t *testing.T, h *exampleHub) {
	h.SSE("")
	h.Signal(syscall.SIGTERM)
	require.Eventually(t, func() bool {
		response, err := h.Client.Get("http://" + h.HTTP + "/readyz")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusServiceUnavailable
	}, hubtest.Patience, 5*time.Millisecond)
}
