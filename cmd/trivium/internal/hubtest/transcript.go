package hubtest

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Transcript runs the command and returns its output (standard output and standard error), without spaces at the ends
// of lines. If the exit code is not 0, the output is followed by the exit code in brackets.
func Transcript(t *testing.T, cmd *exec.Cmd) string {
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
