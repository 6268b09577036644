package hubs

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/natstest"
	"github.com/trivium-hub/trivium/hub/testkit"
)

// refusedPublish is the answer to the first publish that the hub refuses.
type refusedPublish struct {
	answer string
	err    error // error of the connection
}

// publishUntilRefused publishes the body repeatedly, and returns the first answer with a status other than 200.
func publishUntilRefused(p *hubtest.Process, contentType, body string) refusedPublish {
	for {
		r, err := http.NewRequest(http.MethodPost, "http://"+p.HTTP+"/publish", strings.NewReader(body))
		if err != nil {
			return refusedPublish{err: err}
		}
		r.Header.Set("Content-Type", contentType)
		response, err := p.Client.Do(r)
		if err != nil {
			return refusedPublish{err: err}
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK {
			return refusedPublish{fmt.Sprintf("%d, Retry-After %q: %s", response.StatusCode, response.Header.Get("Retry-After"), text), err}
		}
	}
}

// streamUntilRefused publishes the line repeatedly in one endless request. It returns the answer, which
// the hub sends when it refuses a line.
func streamUntilRefused(p *hubtest.Process, line string) refusedPublish {
	in, out := io.Pipe()
	go func() {
		lines := bufio.NewWriterSize(out, 64<<10)
		for {
			if _, err := lines.WriteString(line + "\n"); err != nil {
				return
			}
		}
	}()
	defer in.Close()
	r, err := http.NewRequest(http.MethodPost, "http://"+p.HTTP+"/publish", in)
	if err != nil {
		return refusedPublish{err: err}
	}
	r.Header.Set("Content-Type", "application/x-ndjson")
	response, err := p.Client.Do(r)
	if err != nil {
		return refusedPublish{err: err}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return refusedPublish{fmt.Sprintf("%d, Retry-After %q: %s", response.StatusCode, response.Header.Get("Retry-After"), text), err}
}

// sendUntilRefused publishes events over WebSocket, each after the previous one is acknowledged, and returns the first
// answer that is an error.
func sendUntilRefused(p *hubtest.Process, conn *websocket.Conn, data string) refusedPublish {
	for n := 1; ; n++ {
		command := fmt.Sprintf(`{"op":"publish","id":"%d","topic":"a","data":%s}`, n, data)
		if err := conn.Write(context.Background(), websocket.MessageText, []byte(command)); err != nil {
			return refusedPublish{err: err}
		}
		for {
			_, text, err := conn.Read(context.Background())
			if err != nil {
				return refusedPublish{err: err}
			}
			var m struct{ Op, ID string }
			if err := json.Unmarshal(text, &m); err != nil {
				return refusedPublish{err: err}
			}
			if m.Op == "error" {
				return refusedPublish{answer: string(text)}
			}
			if m.Op == "ack" {
				break
			}
		}
	}
}

// longDrain sets a long drain. The hub disconnects clients at random times within the drain. In a long drain, a client is
// unlikely to be disconnected before its next publish.
var longDrain = []string{"--drain", "20h"}

// When the stream is deleted or the disk is full, the hub exits. Before it exits, it answers each
// publish that is in progress, on every route, with status 503.
func TestPublishInProgressIsAnswered(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		start func(t *testing.T) (p *hubtest.Process, harm func())
	}{
		{"stream deleted", func(t *testing.T) (*hubtest.Process, func()) {
			port := testkit.FreePorts(t, 1)[0]
			server := natstest.Start(t, natstest.Place{Name: "n", Port: port, Store: t.TempDir()})
			t.Cleanup(func() {
				_ = server.Process.Kill()
				_ = server.Wait()
			})
			url := fmt.Sprintf("nats://127.0.0.1:%d", port)
			p := hubtest.Start(t, hubtest.Binary(t, slices.Concat(hubtest.AnyPorts, longDrain, []string{"--auth", "none", "--engine", "nats", "--nats-url", url, "--replicas", "1"})...))
			return p, func() {
				conn, err := nats.Connect(url, nats.Timeout(hubtest.Patience))
				require.NoError(t, err)
				defer conn.Close()
				js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(hubtest.Patience))
				require.NoError(t, err)
				require.NoError(t, js.DeleteStream(t.Context(), "trivium"))
			}
		}},
		{"disk full", func(t *testing.T) (*hubtest.Process, func()) {
			cmd := hubtest.Binary(t, slices.Concat(hubtest.AnyPorts, longDrain, []string{"--auth", "none", "--engine", "embedded", "--store", t.TempDir()})...)
			limited := exec.Command("sh", append([]string{"-c", `ulimit -f 4096 && exec "$@"`, "sh"}, cmd.Args...)...)
			limited.Env = cmd.Env
			return hubtest.Start(t, limited), func() {}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p, harm := row.start(t)
			data := fmt.Sprintf("%q", strings.Repeat("x", 200))
			event := fmt.Sprintf(`{"topic":"a","data":%s}`, data)
			conn := p.WebSocket("")
			answers := map[string]refusedPublish{}
			var mu sync.Mutex
			var publishing sync.WaitGroup
			for name, publish := range map[string]func() refusedPublish{
				"single":    func() refusedPublish { return publishUntilRefused(p, "application/json", event) },
				"array":     func() refusedPublish { return publishUntilRefused(p, "application/json", "["+event+","+event+"]") },
				"lines":     func() refusedPublish { return streamUntilRefused(p, event) },
				"websocket": func() refusedPublish { return sendUntilRefused(p, conn, data) },
			} {
				publishing.Go(func() {
					answer := publish()
					mu.Lock()
					defer mu.Unlock()
					answers[name] = answer
				})
			}
			require.Eventually(t, func() bool { return p.Stats().Events.Published > 100 }, hubtest.Patience, 10*time.Millisecond)
			harm()
			publishing.Wait()
			for name, a := range answers {
				require.NoError(t, a.err, name)
				if name == "websocket" {
					require.Contains(t, a.answer, `"status":503`, name)
				} else {
					require.Contains(t, a.answer, `503, Retry-After "`, name)
					require.NotContains(t, a.answer, `Retry-After ""`, name)
				}
			}
		})
	}
}
