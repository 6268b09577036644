package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
)

// TestConfigFileIsAccepted checks that serve accepts the unchanged output of trivium config as its
// configuration file, and that the output contains every setting with its default: if all defaults are
// uncommented, the settings are equal to the settings of a hub without a file.
func TestConfigFileIsAccepted(t *testing.T) {
	t.Parallel()
	text, err := hubtest.Program(t, nil, "config").Output()
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "trivium.yaml")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	require.Equal(t, "the configuration is valid", hubtest.Transcript(t, hubtest.Program(t, nil, "serve", "--check", "--config", path)))

	var cli commands
	parser, err := kong.New(&cli, (&settings.Sources{}).Options()...)
	require.NoError(t, err)
	for _, flag := range parser.Model.Children[0].Flags {
		switch flag.Name {
		case "help", "config", "check":
			continue
		}
		setting := regexp.MustCompile(`(?m)^#(` + flag.Name + `: .*)$`)
		require.Regexp(t, setting, string(text))
		if flag.Default != "" || flag.IsBool() {
			text = setting.ReplaceAll(text, []byte("$1"))
		}
	}
	require.NoError(t, os.WriteFile(path, text, 0o600))
	want := parseServe(t, nil)
	got := parseServe(t, nil, "--config", path)
	got.Config = ""
	require.Equal(t, want, got)
}
