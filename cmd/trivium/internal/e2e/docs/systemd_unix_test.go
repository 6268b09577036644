//go:build unix

package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// documentedFile returns the content of a file that docs/operations.md shows: the code block after
// the line with the file's name.
func documentedFile(t *testing.T, name string) string {
	t.Helper()
	block := regexp.MustCompile("(?s)`" + regexp.QuoteMeta(name) + "`[^`\n]*:\n\n```\\w*\n(.*?)```\n").FindStringSubmatch(page(t, "docs/operations.md"))
	require.NotNil(t, block, name)
	return block[1]
}

// TestSystemdUnit checks that systemd accepts the documented unit, and that the exposure level of "systemd-analyze
// security" is at most 3 of 10. The documented tokens file must be in the state directory of the unit, because a service
// with DynamicUser cannot read files that only root may read.
func TestSystemdUnit(t *testing.T) {
	t.Parallel()
	unit := documentedFile(t, "/etc/systemd/system/trivium.service")
	config := documentedFile(t, "/etc/trivium.yaml")
	require.Contains(t, unit, "\nDynamicUser=yes\nStateDirectory=trivium\n")
	require.Contains(t, config, "\ntokens: /var/lib/trivium/")

	dir := t.TempDir()
	tokens, configPath := filepath.Join(dir, "tokens.yaml"), filepath.Join(dir, "trivium.yaml")
	hubtest.NewToken(t, "alice", "--tokens", tokens, "--subscribe", ">")
	config = regexp.MustCompile(`(?m)^tokens: .*$`).ReplaceAllLiteralString(config, "tokens: "+tokens)
	require.NoError(t, os.WriteFile(configPath, []byte(config), 0o600))
	require.Equal(t, "the configuration is valid", hubtest.Transcript(t, hubtest.Program(t, nil, "serve", "--check", "--config", configPath)))

	analyze := hubtest.NeedTool(t, "systemd-analyze", "the Debian package systemd")
	path := filepath.Join(dir, "trivium.service")
	unit = strings.Replace(unit, "/usr/local/bin/trivium", "/bin/true", 1) // systemd-analyze verify requires that the program exists
	require.NoError(t, os.WriteFile(path, []byte(unit), 0o600))
	for _, args := range [][]string{{"verify", path}, {"security", "--offline=true", "--threshold=30", path}} {
		out, err := exec.Command(analyze, args...).CombinedOutput()
		require.NoError(t, err, "systemd-analyze %s\n%s", args[0], out)
	}
}

// TestNewTokensFileBelongsToOwnerOfDirectory checks that trivium token, run by root, creates a tokens file that belongs
// to the owner of the directory, so that a hub that runs as this owner can read it. If the test does not run as root, the
// same user owns both.
func TestNewTokensFileBelongsToOwnerOfDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	require.NoError(t, os.Mkdir(dir, 0o700))
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chown(dir, 12345, 12346))
	}
	path := filepath.Join(dir, "tokens.yaml")
	for _, name := range []string{"alice", "bob"} {
		hubtest.NewToken(t, name, "--tokens", path, "--subscribe", ">")
		var owners [2]syscall.Stat_t
		require.NoError(t, syscall.Stat(dir, &owners[0]))
		require.NoError(t, syscall.Stat(path, &owners[1]))
		require.Equal(t, []uint32{owners[0].Uid, owners[0].Gid}, []uint32{owners[1].Uid, owners[1].Gid})
	}
}
