package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

func TestMain(m *testing.M) { hubtest.Main(m, main) }

// TestTranscripts runs the commands in testdata/*.txt and compares their output. In these files, the
// line "-- name --" begins the content of a file that the commands use. A line that begins with "$ " is
// a command; assignments of variables may precede it, as in a shell. The lines after a command are the
// expected output, followed by the exit code if it is not 0.
func TestTranscripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		preface, commands, found := strings.Cut(string(text), "\n$ ")
		require.True(t, found, path)
		dir := t.TempDir()
		writeFiles(t, dir, preface)
		for step := range strings.SplitSeq(commands, "\n$ ") {
			line, want, _ := strings.Cut(step, "\n")
			t.Run(filepath.Base(path)+"/"+line, func(t *testing.T) {
				t.Parallel()
				env, args := splitCommand(line)
				require.Equal(t, "trivium", args[0])
				cmd := hubtest.Program(t, env, args[1:]...)
				cmd.Dir = dir
				require.Equal(t, strings.TrimSpace(want), hubtest.Transcript(t, cmd))
			})
		}
	}
}

func writeFiles(t *testing.T, dir, text string) {
	t.Helper()
	var name string
	files := map[string]string{}
	for line := range strings.Lines(text) {
		if marked := strings.TrimSpace(line); strings.HasPrefix(marked, "-- ") && strings.HasSuffix(marked, " --") {
			name = strings.Trim(marked, "- ")
		} else if name != "" {
			files[name] += line
		}
	}
	for name, content := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
}

// splitCommand splits a line at spaces that are not inside of single quotes. It returns the assignments of variables
// before the command, and the words of the command.
func splitCommand(line string) (env, words []string) {
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
			continue
		}
		words = append(words, strings.Fields(part)...)
	}
	for strings.Contains(words[0], "=") {
		env, words = append(env, words[0]), words[1:]
	}
	return env, words
}
