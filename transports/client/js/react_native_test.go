package js

import (
	"context"
	"net/http"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// reactNativeOutput is the output of testdata/react-native/app.js.
const reactNativeOutput = `/hub ws 1{"n":1} 2{"n":2} 3{"n":3} 4{"n":4} 5{"n":5} 6{"n":6}
stored true
continued 3
closed
/blocked/hub poll 1{"n":1} 2{"n":2} 3{"n":3} 4{"n":4} 5{"n":5} 6{"n":6}
stored true
continued 3
closed
refused missing-token 401
refused options 405
refused options 400
`

// TestReactNative runs a program with the npm package in Node.js and in Hermes. The program has
// only the globals of React Native, which has no streams. The test checks that the client uses
// WebSocket, or long-poll if the server refuses WebSockets.
func TestReactNative(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"node", "hermes"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			findNode(t)
			if engine == "hermes" {
				if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
					t.Skip("the npm package of Hermes has no program for " + runtime.GOOS + "/" + runtime.GOARCH)
				}
				findModules(t, "testdata/react-native")
			}
			h := startHub(t)
			h.routes.HandleFunc("POST /cut", func(http.ResponseWriter, *http.Request) { h.conns.cut() })
			h.routes.Handle("/blocked/", http.StripPrefix("/blocked", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/ws") {
					http.Error(w, "no WebSockets here", http.StatusForbidden)
					return
				}
				h.routes.ServeHTTP(w, r)
			})))
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			out, err := exec.CommandContext(ctx, "node", withSocket, "testdata/react-native/host.mjs", h.URL, testToken, engine).CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.Equal(t, reactNativeOutput, string(out))
		})
	}
}
