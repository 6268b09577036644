package main

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// asProgram is an environment variable that makes the test binary act as the program, so that the
// transcripts run the code under test.
const asProgram = "TEST_AS_TRIVIUM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	if place := os.Getenv(asNATS); place != "" {
		runNATS(place)
		return
	}
	manyAtOnce()
	var err error
	if binaryDir, err = os.MkdirTemp("", "trivium-test-"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(binaryDir)
		os.Exit(code)
	}))
}

// manyAtOnce raises the number of tests that run in parallel, because they mostly wait. It does
// nothing if -parallel is set.
func manyAtOnce() {
	const atOnce = "12"
	flag.Parse()
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if !said {
		_ = flag.Set("test.parallel", atOnce) // never fails: the value is a number
	}
}

// binaryDir is the directory in which binary builds the program.
var binaryDir string

// program returns a command that runs the program with the arguments, and with only these
// environment variables.
func program(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, args...)
	// GORACE: by default, the race detector sleeps for a second at the end of a process.
	cmd.Env = append([]string{asProgram + "=1", "HOME=" + t.TempDir(), "GORACE=atexit_sleep_ms=0"}, env...)
	return cmd
}

// TestTranscripts runs the commands in testdata/*.txt and compares their output. "-- name --"
// starts a file. "$ " starts a command, which may be preceded by variables as in a shell. The lines
// after a command are its output, followed by its exit code if it is not 0.
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
				cmd := program(t, env, args[1:]...)
				cmd.Dir = dir
				require.Equal(t, strings.TrimSpace(want), transcript(t, cmd))
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

// splitCommand splits a line at spaces outside single quotes.
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

func transcript(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		out = append(out, "[exit "+strconv.Itoa(exit.ExitCode())+"]"...)
	} else {
		require.NoError(t, err)
	}
	lines := strings.Split(string(out), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}
