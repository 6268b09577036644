package js

import (
	"context"
	"net/http"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRuntimes runs a program that uses the npm package in Node.js, Bun and Deno, over connections that are cut.
func TestRuntimes(t *testing.T) {
	for name, command := range map[string][]string{
		"node": {withSocket},
		"bun":  nil,
		"deno": {"run", "--no-config", "--allow-net", "--allow-read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "node" {
				findNode(t)
			} else if _, err := exec.LookPath(name); err != nil {
				t.Skip(name + " is not installed")
			}
			h := startHub(t)
			h.routes.HandleFunc("POST /cut", func(http.ResponseWriter, *http.Request) { h.conns.cut() })
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			out, err := exec.CommandContext(ctx, name, append(command, "testdata/runtime.mjs", h.URL, testToken)...).CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.Equal(t, "ws 1 2 3 4 5 6\nclosed true\nsse 1 2 3 4 5 6\nclosed true\npoll 1 2 3 4 5 6\nclosed true\n"+
				"refused 401\nEventSource 5 6\ntextStream 5 6\n", string(out))
		})
	}
}
