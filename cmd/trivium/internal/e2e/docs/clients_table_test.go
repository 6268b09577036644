//go:build unix

package docs

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// tableFile is the page that contains the results of TestClients as a table, between the lines
// tableBegin and tableEnd. The test rewrites the table if TRIVIUM_UPDATE=1 is set.
const (
	tableFile  = repository + "/docs/clients.md"
	tableBegin = "<!-- table: TestClients -->\n"
	tableEnd   = "<!-- end of table -->\n"
)

// tableRow is the row of a client in the table, without the results.
type tableRow struct {
	program string // path below testdata/clients
	library string
	source  string // where the version is pinned: an npm package, a Go module, or ""
	set     string // configuration that the library needs to work with a hub
}

const (
	reopen      = "open a new EventSource with the last ID as `cursor` when the old one is `CLOSED`"
	ownCursor   = "send the last `id` as `cursor` when it connects again"
	urlFunction = "pass as the URL a function that adds the last `id` as `cursor`"
	notForward  = "skip events whose name begins with `trivium.`"
)

var tableRows = []tableRow{
	{"browser/eventsource", "EventSource, Chromium", "", reopen},
	{"browser/event-source-polyfill", "event-source-polyfill, Chromium", "npm event-source-polyfill", reopen},
	{"browser/reconnecting-eventsource", "reconnecting-eventsource, Chromium", "npm reconnecting-eventsource", "use `addEventListener(\"message\", …)`: with only `onmessage`, it does not store the IDs"},
	{"browser/fetch-event-source", "@microsoft/fetch-event-source, Chromium", "npm @microsoft/fetch-event-source", notForward},
	{"browser/fetch-event-source-onclose", "@microsoft/fetch-event-source with an `onclose` that throws an error, Chromium", "npm @microsoft/fetch-event-source", notForward},
	{"browser/sse", "sse.js, Chromium", "npm sse.js", "set `autoReconnect: true`"},
	{"browser/fetch-poll", "long-poll by `fetch`, Chromium", "", "use a URL of its own, with the parameter `tab`, [see above](#long-poll-in-several-tabs)"},
	{"browser/websocket", "WebSocket, Chromium", "", ownCursor},
	{"browser/reconnecting-websocket", "reconnecting-websocket, Chromium", "npm reconnecting-websocket", urlFunction},
	{"browser/partysocket", "partysocket, Chromium", "npm partysocket", urlFunction},
	{"node/eventsource-2", "eventsource 2, Node.js", "npm eventsource2", reopen},
	{"node/eventsource-4", "eventsource 4, Node.js", "npm eventsource", reopen},
	{"node/eventsource-client", "eventsource-client, Node.js", "npm eventsource-client", notForward},
	{"node/launchdarkly-eventsource", "launchdarkly-eventsource, Node.js", "npm launchdarkly-eventsource", "set an `onerror` handler"},
	{"node/ws", "ws, Node.js", "npm ws", ownCursor},
	{"node/reconnecting-websocket", "reconnecting-websocket, Node.js", "npm reconnecting-websocket", urlFunction},
	{"node/partysocket", "partysocket, Node.js", "npm partysocket", urlFunction},
	{"go/r3labs-sse", "r3labs/sse, Go", "go github.com/r3labs/sse/v2", notForward},
	{"go/r3labs-sse-loop", "r3labs/sse, subscribing again when the call returns, Go", "go github.com/r3labs/sse/v2", notForward},
	{"go/go-sse", "tmaxmax/go-sse, Go", "go github.com/tmaxmax/go-sse", "set `MaxInterval`; call `Connect` again when it returns, for example after an answer other than 200"},
	{"go/launchdarkly", "launchdarkly/eventsource, Go", "go github.com/launchdarkly/eventsource", "set an error handler that continues the stream; " + notForward},
	{"go/gorilla", "gorilla/websocket, Go", "go github.com/gorilla/websocket", ownCursor},
	{"go/gobwas", "gobwas/ws, Go", "go github.com/gobwas/ws", ownCursor + "; read the data that `Dial` has buffered"},
	{"python/websockets-client", "websockets, Python", "Debian 12", ownCursor},
	{"python/aiohttp-websocket", "aiohttp, WebSocket, Python", "Debian 12", ownCursor},
	{"python/aiohttp-sse", "aiohttp, SSE read by line, Python", "Debian 12", "send the last ID as `Last-Event-ID`"},
	{"python/requests-sse", "requests, SSE read by line, Python", "Debian 12", "use `iter_lines(chunk_size=1)`; send the last ID as `Last-Event-ID`"},
	{"python/requests-poll", "requests, long-poll, Python", "Debian 12", "set a timeout of 60 s"},
}

// compareTable requires that the table in the docs contains the results.
func compareTable(t *testing.T, results map[string]map[string]string) {
	t.Helper()
	var table strings.Builder
	table.WriteString("| client | version |")
	for _, f := range fronts {
		table.WriteString(" " + f.name + " |")
	}
	table.WriteString(" what the program must do |\n|---|---|" + strings.Repeat("---|", len(fronts)+1) + "\n")
	for _, row := range tableRows {
		table.WriteString("| " + row.library + " | " + version(t, row.source) + " |")
		for _, f := range fronts {
			result, ok := results[row.program][f.name]
			if !ok {
				t.Logf("%s was not run with %s, so the table is not compared", row.program, f.name)
				return
			}
			table.WriteString(" " + result + " |")
		}
		table.WriteString(" " + row.set + " |\n")
	}
	require.Len(t, results, len(tableRows), "each client has a row in tableRows")
	text, err := os.ReadFile(tableFile)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(text), tableBegin)
	require.True(t, found)
	old, after, found := strings.Cut(rest, tableEnd)
	require.True(t, found)
	if os.Getenv("TRIVIUM_UPDATE") == "1" {
		require.NoError(t, os.WriteFile(tableFile, []byte(before+tableBegin+table.String()+tableEnd+after), 0o644))
		return
	}
	require.Equal(t, old, table.String(), "the table is up to date; TRIVIUM_UPDATE=1 rewrites it")
}

// version returns the pinned version of a library.
func version(t *testing.T, source string) string {
	t.Helper()
	kind, name, _ := strings.Cut(source, " ")
	switch kind {
	case "npm":
		text, err := os.ReadFile(filepath.Join(clientsDir, "package-lock.json"))
		require.NoError(t, err)
		var lock struct {
			Packages map[string]struct{ Version string }
		}
		require.NoError(t, json.Unmarshal(text, &lock))
		return lock.Packages["node_modules/"+name].Version
	case "go":
		list := exec.Command("go", "list", "-m", "-f", "{{.Version}}", name)
		list.Dir = filepath.Join(clientsDir, "go")
		out, err := list.Output()
		require.NoError(t, err)
		return strings.TrimSpace(strings.TrimPrefix(string(out), "v"))
	}
	return source
}
