package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// The commands ignore a line break at the end of a token or another setting, because editors and secret
// stores add one.
func TestTrailingNewlineOfSecretsIsIgnored(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	const token = "a-token-of-its-own"
	tokens := file("tokens.yaml", fmt.Sprintf("- name: alice\n  sha256: |\n    %x\n\n  subscribe: [\">\"]\n  publish: [\">\"]\n", sha256.Sum256([]byte(token))))
	env := []string{"TRIVIUM_TOKENS=" + tokens + "\n", "TRIVIUM_HTTP=127.0.0.1:0\r\n", "TRIVIUM_UDP=off\n", "TRIVIUM_UDP_TOPIC=a.b\n"}
	p := hubtest.Start(t, hubtest.Program(t, env, "serve", "--admin", "127.0.0.1:0", "--log-format", "json"))

	for _, spelling := range []string{token, token + "\n", token + "\r\n", " " + token + " \n"} {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		client := []string{"TRIVIUM_TOKEN=" + spelling, "TRIVIUM_URL=http://" + p.HTTP + "\n"}
		id, err := hubtest.Program(t, client, "pub", "--timeout", "3m", "a.b", "1").Output()
		require.NoError(t, err, "%q", spelling)
		_, err = hubtest.Program(t, nil, "pub", "--timeout", "3m", "--url", "http://"+p.HTTP, "--token", spelling, "a.b", "2").Output()
		require.NoError(t, err, "%q", spelling)
		for _, transport := range []string{"websocket", "sse", "longpoll"} {
			cmd := hubtest.Program(t, client, "sub", "--last", "2", "--count", "2", "--json", "--transport", transport, "a.b")
			go func() {
				<-ctx.Done()
				if cmd.Process != nil {
					_ = cmd.Process.Kill()
				}
			}()
			text, err := cmd.Output()
			require.NoError(t, err, "%q by %s", spelling, transport)
			require.Contains(t, string(text), strings.TrimSpace(string(id)))
		}
	}
}
