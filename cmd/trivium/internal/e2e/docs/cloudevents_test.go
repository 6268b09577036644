//go:build unix

package docs

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// shownEvent is an event as the CloudEvents SDK has decoded it.
type shownEvent struct {
	Attributes map[string]string `json:"attributes"`
	Data       []byte            `json:"data"`
}

// cloudEventsSDK builds the program in testdata/cloudevents, which sends and parses events with the official SDK. It
// returns a function that runs the program and returns the events that the program prints.
func cloudEventsSDK(t *testing.T) func(stdin string, arguments ...string) []shownEvent {
	t.Helper()
	dir := filepath.Join(repository, "testdata", "cloudevents")
	run := func(name string, arguments ...string) ([]byte, error) {
		cmd := exec.Command(name, arguments...)
		cmd.Dir = dir
		return cmd.CombinedOutput()
	}
	if _, err := run("go", "mod", "download"); err != nil {
		hubtest.LackTool(t, "the module github.com/cloudevents/sdk-go/v2 cannot be fetched")
	}
	program := filepath.Join(t.TempDir(), "cloudevents")
	out, err := run("go", "build", "-o", program, ".")
	require.NoError(t, err, string(out))
	return func(stdin string, arguments ...string) []shownEvent {
		t.Helper()
		cmd := exec.Command(program, arguments...)
		var stdout, stderr bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
		require.NoError(t, cmd.Run(), "%s", &stderr)
		var events []shownEvent
		for line := range strings.Lines(stdout.String()) {
			var e shownEvent
			require.NoError(t, json.Unmarshal([]byte(line), &e))
			events = append(events, e)
		}
		return events
	}
}

// The official CloudEvents SDK sends each event twice, in every content mode. The event arrives once
// and unchanged over each transport. The SDK can also parse events that were not published as
// CloudEvents.
func TestCloudEventsSDK(t *testing.T) {
	t.Parallel()
	sdk := cloudEventsSDK(t)
	p := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--cloudevents-source", "https://hub.example.com")...))
	const query = "format=cloudevents&topic=ce.>&topic=plain"
	stream, socket := p.SSE(query), p.WebSocket(query)

	sent := sdk("", "send", "http://"+p.HTTP, p.Token)
	require.Len(t, sent, 30)
	plain := `[{"topic":"plain","type":"paid","key":"17","data":{"total":1.50}},{"topic":"plain","data":"a\nb","text":true},{"topic":"plain","data_base64":"AP8="}]`
	p.Publish("application/json", plain)
	n := len(sent) + 3

	message := func(conn *websocket.Conn) string {
		ctx, cancel := context.WithTimeout(context.Background(), hubtest.Patience)
		defer cancel()
		_, text, err := conn.Read(ctx)
		require.NoError(t, err)
		return string(text)
	}
	read := map[string][]string{}
	for range n {
		e, err := stream.Next()
		require.NoError(t, err)
		require.Empty(t, e.Type)
		read["SSE"] = append(read["SSE"], strings.ReplaceAll(e.Data, "\n", " "))
		read["WebSocket"] = append(read["WebSocket"], message(socket))
	}
	status, body := p.Request(http.MethodGet, "http://"+p.HTTP+"/poll?last=1000&max=1000&"+query, "", "")
	require.Equal(t, http.StatusOK, status, body)
	var answer struct {
		Events []json.RawMessage `json:"events"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &answer))
	for _, e := range answer.Events {
		read["long-poll"] = append(read["long-poll"], string(e))
	}
	for transport, lines := range read {
		t.Run(transport, func(t *testing.T) {
			require.Len(t, lines, n)
			events := sdk(strings.Join(lines, "\n"), "parse")
			require.Len(t, events, n)
			for i, e := range events {
				require.NotEmpty(t, e.Attributes["triviumcursor"])
				require.NotEmpty(t, e.Attributes["triviumtime"])
				if i < len(sent) {
					require.Contains(t, []string{"ce.sent", "ce.path"}, e.Attributes["triviumtopic"])
					for _, name := range []string{"triviumcursor", "triviumtime", "triviumtopic", "triviumkey"} {
						delete(e.Attributes, name)
					}
					require.Equal(t, sent[i], e)
					continue
				}
				require.Equal(t, "https://hub.example.com", e.Attributes["source"])
				require.Equal(t, "plain", e.Attributes["subject"])
				require.Equal(t, e.Attributes["triviumcursor"], e.Attributes["id"])
			}
			for i, want := range []struct{ kind, contentType, data string }{
				{"paid", "application/json", `{"total":1.50}`},
				{"message", "text/plain", "a\nb"},
				{"message", "application/octet-stream", "\x00\xff"},
			} {
				e := events[len(sent)+i]
				require.Equal(t, want.kind, e.Attributes["type"])
				require.Equal(t, want.contentType, e.Attributes["datacontenttype"])
				require.Equal(t, want.data, string(e.Data))
			}
		})
	}
}
