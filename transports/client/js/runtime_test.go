package js

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRuntimes runs a program with the npm package in Node.js, Bun, Deno and a worker. The
// program's connections are cut while it runs.
func TestRuntimes(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]func(t *testing.T, h *testHub) string{
		"node": func(t *testing.T, h *testHub) string {
			findNode(t)
			return runProgram(t, h, "node", withSocket)
		},
		"bun": func(t *testing.T, h *testHub) string {
			return runProgram(t, h, "bun")
		},
		"deno": func(t *testing.T, h *testHub) string {
			return runProgram(t, h, "deno", "run", "--no-config", "--allow-net", "--allow-read")
		},
		"worker": func(t *testing.T, h *testHub) string {
			if testing.Short() {
				t.Skip("tests with a browser take a long time")
			}
			return evaluate[string](t, openTab(t, h.URL+"/testdata/blank.html"), fmt.Sprintf(`new Promise((done, failed) => {
				const worker = new Worker("/testdata/runtime.mjs#%s", { type: "module" })
				worker.onmessage = ({ data }) => done(data)
				worker.onerror = ({ message }) => failed(new Error(message))
			})`, testToken))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startHub(t)
			h.routes.HandleFunc("POST /cut", func(http.ResponseWriter, *http.Request) { h.conns.cut() })
			require.Equal(t, "ws 1 2 3 4 5 6\nclosed true\nsse 1 2 3 4 5 6\nclosed true\npoll 1 2 3 4 5 6\nclosed true\n"+
				"refused 401\nEventSource 5 6\ntextStream 5 6\n", run(t, h))
		})
	}
}

// runProgram returns the output of the program, or skips the test if the runtime is not installed.
func runProgram(t *testing.T, h *testHub, runtime string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(runtime); err != nil {
		t.Skip(runtime + " is not installed")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, runtime, append(args, "testdata/runtime.mjs", h.URL, testToken)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}
