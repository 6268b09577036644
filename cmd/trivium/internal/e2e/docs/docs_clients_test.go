//go:build unix

package docs

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/hub/testkit"
)

// protocolPrograms is the directory of the client programs that docs/protocol.md shows. Each file
// exports a function named subscribe.
const protocolPrograms = repository + "/testdata/protocol"

// Each of these programs calls the function subscribe of a file in protocolPrograms, and prints each event
// and gap that the function reports. The path of the file replaces %q. In runPage, the content of the file,
// encoded as base64, replaces %s.
const (
	runJavaScript = `import { subscribe } from %q;
await subscribe({
  hub: process.env.HUB, topics: ["show"], token: process.env.TOKEN, cursor: "00000000-1",
  onEvent: (event) => console.log(event.data.n), onGap: (gap) => console.log("gap", gap.reason),
});`
	runPage = `import("data:text/javascript;base64,%s").then(({ subscribe }) => subscribe({
  hub: location.origin, topics: ["show"], token: "a-token", cursor: "00000000-1",
  onEvent: (event) => console.log(event.data.n), onGap: (gap) => console.log("gap " + gap.reason),
})).catch((error) => console.log(String(error))); 0`
	runPython = `import asyncio, importlib.util, inspect, os
spec = importlib.util.spec_from_file_location("client", %q)
client = importlib.util.module_from_spec(spec)
spec.loader.exec_module(client)
stream = client.subscribe(os.environ["HUB"], ["show"], os.environ["TOKEN"], "00000000-1")
def show(kind, value):
    print(value["data"]["n"] if kind == "event" else "gap " + value["reason"], flush=True)
async def show_all():
    async for kind, value in stream:
        show(kind, value)
if inspect.isasyncgen(stream):
    asyncio.run(show_all())
else:
    for kind, value in stream:
        show(kind, value)`
)

// protocolCommands returns the command that runs each file in protocolPrograms, by file name.
func protocolCommands(t *testing.T) map[string][]string {
	t.Helper()
	node := hubtest.NeedTool(t, "node", "Debian's nodejs")
	if exec.Command(node, "--experimental-websocket", "-e", "").Run() != nil {
		hubtest.LackTool(t, "node is older than version 20.10")
	}
	const python = "/usr/bin/python3"
	if exec.Command(python, "-c", "import websockets").Run() != nil {
		hubtest.LackTool(t, "Debian's python3-websockets is not installed")
	}
	files, err := filepath.Glob(protocolPrograms + "/*")
	require.NoError(t, err)
	commands := map[string][]string{}
	for _, file := range files {
		path, err := filepath.Abs(file)
		require.NoError(t, err)
		switch filepath.Ext(file) {
		case ".mjs":
			commands[filepath.Base(file)] = []string{
				node, "--no-warnings", "--experimental-websocket", "--input-type=module", "-e", fmt.Sprintf(runJavaScript, "file://"+path),
			}
		case ".py":
			commands[filepath.Base(file)] = []string{python, "-c", fmt.Sprintf(runPython, path)}
		}
	}
	require.Len(t, commands, 6)
	return commands
}

// The programs receive every event once and in order, although the hub restarts and all TCP
// connections are reset. They report one gap, because they begin with the cursor of another log.
func TestProtocolProgramsLoseNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("restarts of a hub take a long time")
	}
	t.Parallel()
	commands := protocolCommands(t)
	playProtocol(t, func(r *clientRun, base string) {
		for name, command := range commands {
			r.startCommand(name, command, programEnv(t, base))
		}
	})
}

// The JavaScript programs also lose no event if they run in a browser, in a page of the hub's origin.
func TestProtocolProgramsInBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("restarts of a hub take a long time")
	}
	t.Parallel()
	files, err := filepath.Glob(protocolPrograms + "/*.mjs")
	require.NoError(t, err)
	require.Len(t, files, 3)
	browser := startBrowser(t)
	playProtocol(t, func(r *clientRun, base string) {
		for _, file := range files {
			source, err := os.ReadFile(file)
			require.NoError(t, err)
			c := r.add(filepath.Base(file))
			page := openPage(t, browser, base+"/healthz", func(text string) {
				for line := range strings.Lines(text) {
					c.take(strings.TrimSpace(line))
				}
			})
			_, err = chromedp.Run(page, chromedp.Evaluate[int](fmt.Sprintf(runPage, base64.StdEncoding.EncodeToString(source))))
			require.NoError(t, err)
		}
	})
}

// playProtocol starts a hub and calls begin, which starts the programs. Then it publishes events, restarts the hub and
// resets the connections, and requires that each program has received all events.
func playProtocol(t *testing.T, begin func(r *clientRun, base string)) {
	ports := testkit.FreePorts(t, 2)
	address := fmt.Sprintf("127.0.0.1:%d", ports[0])
	r := &clientRun{t: t, url: "http://" + address, args: []string{
		"serve", "--http", address, "--udp", "off", "--admin", fmt.Sprintf("127.0.0.1:%d", ports[1]), "--auth", "none",
		"--engine", "embedded", "--store", t.TempDir(), "--log-format", "json", "--drain", "1s",
	}}
	start := func() { r.hub = hubtest.Start(t, hubtest.Program(t, nil, r.args...)) }
	start()
	r.relay = startRelay(t, address)
	begin(r, "http://"+r.relay.address())
	r.awaitReaders()
	r.publish(4)
	r.await()

	r.hub.Signal(syscall.SIGTERM)
	code, _ := r.hub.Wait()
	require.Zero(t, code)
	start()
	r.publish(4) // some events are published before the programs have reconnected
	r.await()

	r.relay.reset()
	r.publish(4)
	r.await()

	var want []int
	for n := range r.sent {
		want = append(want, n+1)
	}
	for _, c := range r.clients {
		require.Equal(t, []string{"gap epoch"}, gapLine.FindAllString(c.words(), -1), "%s: %s", c.name, c.words())
		c.mu.Lock()
		require.Equal(t, want, c.got, c.name)
		c.mu.Unlock()
	}
}

// The programs exit if their token is wrong, except the WebSocket program in Node.js. Because Node.js sends
// no Origin, the hub refuses the handshake with an HTTP status. Node.js does not report this status to the
// program, so the program retries.
func TestProtocolProgramsEndWhenRefused(t *testing.T) {
	t.Parallel()
	commands := protocolCommands(t)
	delete(commands, "websocket.mjs")
	hub := hubtest.Start(t, hubtest.Program(t, nil, hubtest.AnyPorts...))
	for name, command := range commands {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
			cmd.Env = programEnv(t, "http://"+hub.HTTP)
			timeout := time.AfterFunc(hubtest.Patience, func() { _ = cmd.Process.Kill() })
			defer timeout.Stop()
			out, err := cmd.CombinedOutput()
			require.Error(t, err)
			require.Regexp(t, "token|401", string(out))
			require.NotContains(t, string(out), "gap")
		})
	}
}

func programEnv(t *testing.T, hub string) []string {
	return []string{"HUB=" + hub, "TOKEN=a-token", "HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "PYTHONDONTWRITEBYTECODE=1"}
}

var gapLine = regexp.MustCompile(`(?m)^gap .*$`)

var programBlock = regexp.MustCompile("(?ms)^```\\w+ file=(\\S+)\n(.*?)^```$")

// The programs in docs/protocol.md are identical to the files that the tests run.
func TestProtocolShowsPrograms(t *testing.T) {
	shown := programBlock.FindAllStringSubmatch(readProtocol(t), -1)
	require.Len(t, shown, 6)
	for _, block := range shown {
		file, err := os.ReadFile(filepath.Join(repository, block[1]))
		require.NoError(t, err)
		require.Equal(t, strings.TrimSpace(string(file)), strings.TrimSpace(block[2]), block[1])
	}
}
