//go:build unix

package main

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// completion returns the completion script for a shell.
func completion(t *testing.T, shell string) string {
	t.Helper()
	var out, errs bytes.Buffer
	require.Zero(t, run([]string{"completion", shell}, &console{Out: &out, Err: &errs}), errs.String())
	return out.String()
}

// TestCompletionInBash checks the words that bash offers for completion.
func TestCompletionInBash(t *testing.T) {
	t.Parallel()
	bash := hubtest.NeedTool(t, "bash", "a Debian package of that name")
	for line, want := range map[string]string{
		"trivium se":                   "serve",
		"trivium help bac":             "backup",
		"trivium serve --retain-a":     "--retain-age",
		"trivium serve --no-":          "--no-demo",
		"trivium pub --ca":             "--ca-file",
		"trivium pub --retain":         "",
		"trivium serve --tokens to":    "", // the shell completes file names itself
		"trivium serve --demo --drain": "--drain",
	} {
		words := strings.Fields(line)
		script := completion(t, "bash") + "\nCOMP_WORDS=(" + line + ")\nCOMP_CWORD=" + string(rune('0'+len(words)-1)) + "\n_trivium\necho ${COMPREPLY[*]}\n"
		out, err := exec.Command(bash, "-c", script).CombinedOutput()
		require.NoError(t, err, string(out))
		require.Equal(t, want, strings.TrimSpace(string(out)), line)
	}
}

// TestCompletionScripts checks that each script contains every command and flag, and that the
// installed shells can parse their scripts.
func TestCompletionScripts(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script := completion(t, shell)
		for _, word := range []string{"serve", "completion", "max-connections-per-token", "no-demo", "save-cursor", "admin-token-file"} {
			require.Contains(t, script, word, shell)
		}
		if path, err := exec.LookPath(shell); err == nil {
			cmd := exec.Command(path, "-n")
			cmd.Stdin = strings.NewReader(script)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s: %s", shell, out)
		}
	}
}
