package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/hub/testkit"
	"github.com/trivium-hub/trivium/transports/client"
)

// subOf returns a command that runs trivium sub against the hub with the hub's token.
func subOf(p *hubtest.Process, args ...string) *exec.Cmd {
	p.T.Helper()
	return hubtest.Program(p.T, []string{"TRIVIUM_URL=http://" + p.HTTP, "TRIVIUM_TOKEN=" + p.Token}, append([]string{"sub"}, args...)...)
}

// begin starts a command. It is killed at the end of the test, or earlier if it runs for longer than hubtest.Patience.
func begin(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	require.NoError(t, cmd.Start())
	late := time.AfterFunc(hubtest.Patience, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		late.Stop()
		_ = cmd.Process.Kill()
	})
}

// await waits until a started command ends and returns its exit code, or -1 if it was killed.
func await(cmd *exec.Cmd) int {
	_ = cmd.Wait() // the error contains the exit code
	return cmd.ProcessState.ExitCode()
}

// finish runs a command until it exits. It returns the exit code, the standard output and the standard error.
func finish(t *testing.T, cmd *exec.Cmd) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	begin(t, cmd)
	return await(cmd), stdout.String(), stderr.String()
}

// reconnections matches the lines in which sub reports that it has lost the connection or reconnected.
// Tests ignore these lines, because a hub on a busy machine may not answer in time.
var reconnections = regexp.MustCompile(`(?m)^trivium: (not connected, retrying: |connected over ).*\n`)

func publishTo(p *hubtest.Process, topic, data string) {
	p.T.Helper()
	status, text := p.Request(http.MethodPost, "http://"+p.HTTP+"/publish/"+topic, "", data)
	require.Equal(p.T, http.StatusOK, status, text)
}

// TestSub checks that sub prints the same events over every transport, in each format.
func TestSub(t *testing.T) {
	p := hubtest.Start(t, hubtest.Program(t, nil, hubtest.AnyPorts...))
	began := time.Now().Format(time.RFC3339Nano)
	p.Publish("application/json", `[{"topic":"a.b","data":{"n": 1}},{"topic":"c","data":"other"},`+
		`{"topic":"a.c","type":"t","key":"k","text":true,"data":"two\nlines"},{"topic":"a.b","data_base64":"AP8="}]`)
	var ids []string
	for _, e := range p.Poll("topic=a.>&last=3").Events {
		ids = append(ids, e.ID.String())
	}
	for _, transport := range []string{"auto", "websocket", "sse", "longpoll"} {
		code, out, errs := finish(t, subOf(p, "--transport", transport, "--last", "3", "--count", "3", "a.>"))
		require.Equal(t, exitDone, code, errs)
		require.Equal(t, "{\"n\": 1}\n\"two\\nlines\"\nAP8=\n", out)
		require.Empty(t, reconnections.ReplaceAllString(errs, ""))

		code, out, errs = finish(t, subOf(p, "--transport", transport, "--since", "1h", "--count", "3", "--json", "a.b", "a.c"))
		require.Equal(t, exitDone, code, errs)
		require.Equal(t, 3, strings.Count(out, "\n"))
		for i, line := range strings.Split(strings.TrimSpace(out), "\n") {
			e, err := client.DecodeEnvelope([]byte(line))
			require.NoError(t, err)
			require.Equal(t, ids[i], e.ID.String())
		}

		code, out, errs = finish(t, subOf(p, "--transport", transport, "--since", began, "--count", "3", "a.>"))
		require.Equal(t, exitDone, code, errs)
		require.Equal(t, "{\"n\": 1}\n\"two\\nlines\"\nAP8=\n", out)

		code, out, errs = finish(t, subOf(p, "--transport", transport, "--cursor", "00000001-5", "--count", "1", "--json", "a.c"))
		require.Equal(t, exitDone, code, errs)
		require.Contains(t, out, `{"gap":{"reason":"epoch","after":"00000001-5","resumed_at":"`)
		require.Contains(t, errs, "trivium: events may have been lost after 00000001-5 (epoch); resuming after ")
		require.Equal(t, 2, strings.Count(out, "\n"))
	}
}

func TestSubRefused(t *testing.T) {
	tokens := filepath.Join(t.TempDir(), "tokens.yaml")
	made, err := hubtest.Program(t, nil, "token", "reader", "--tokens", tokens, "--subscribe", "a.>").Output()
	require.NoError(t, err)
	p := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--tokens", tokens)...))
	good := strings.TrimSpace(string(made))
	for _, transport := range []string{"auto", "websocket", "sse", "longpoll"} {
		for token, c := range map[string]struct {
			topic, want string
		}{
			good:                     {"b", "trivium: the hub answered 403 Forbidden: this token may not subscribe to b\n"},
			"no-such-token-anywhere": {"a.b", "trivium: the hub answered 401 "},
		} {
			p.Token = token
			cursor := filepath.Join(t.TempDir(), "cursor")
			code, out, errs := finish(t, subOf(p, "--transport", transport, "--save-cursor", cursor, c.topic))
			require.Equal(t, exitFailed, code)
			require.Empty(t, out)
			require.True(t, strings.HasPrefix(errs, c.want), errs)
			require.NotContains(t, errs, token)
			require.NoFileExists(t, cursor)
		}
	}
}

// TestSubResumes checks that each run of sub resumes where the previous run stopped. The previous run
// had printed --count events, was stopped by a signal, or had its output closed.
func TestSubResumes(t *testing.T) {
	p := hubtest.Start(t, hubtest.Program(t, nil, hubtest.AnyPorts...))
	cursor := filepath.Join(t.TempDir(), "cursor")
	args := []string{"--save-cursor", cursor, "--last", "2", "a"}
	for i := range 4 {
		publishTo(p, "a", fmt.Sprint(i))
	}

	code, out, errs := finish(t, subOf(p, append(args, "--count", "1")...))
	require.Equal(t, exitDone, code, errs)
	require.Equal(t, "2\n", out, "the first run begins at the requested position")
	publishTo(p, "a", "4")
	code, out, errs = finish(t, subOf(p, append(args, "--count", "2")...))
	require.Equal(t, exitDone, code, errs)
	require.Equal(t, "3\n4\n", out)

	// The reader of a pipe reads the first event and then closes the pipe. The next run begins with the
	// second event, because sub could not print it.
	reading, writing, err := os.Pipe()
	require.NoError(t, err)
	cmd := subOf(p, args...)
	cmd.Stdout = writing
	begin(t, cmd)
	require.NoError(t, writing.Close())
	publishTo(p, "a", "5")
	line, err := bufio.NewReader(reading).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "5\n", line)
	require.NoError(t, reading.Close())
	publishTo(p, "a", "6")
	require.Equal(t, exitDone, await(cmd))

	// A signal ends the command with the documented exit code.
	cmd = subOf(p, args...)
	read, err := cmd.StdoutPipe()
	require.NoError(t, err)
	begin(t, cmd)
	line, err = bufio.NewReader(read).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "6\n", line)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.Equal(t, exitDone, await(cmd))

	publishTo(p, "a", "7")
	code, out, errs = finish(t, subOf(p, "--save-cursor", cursor, "--cursor", "00000001-1", "--count", "1", "a"))
	require.Equal(t, exitDone, code, errs)
	require.Equal(t, "7\n", out)
	require.Empty(t, reconnections.ReplaceAllString(errs, ""), "the file takes precedence over --cursor, which would cause a gap")
}

// TestSubKilledBeforeFirstEvent checks that no event is missed if sub is killed before it has printed
// an event: the next run resumes at the position at which the first run began.
func TestSubKilledBeforeFirstEvent(t *testing.T) {
	p := hubtest.Start(t, hubtest.Program(t, nil, hubtest.AnyPorts...))
	cursor := filepath.Join(t.TempDir(), "cursor")
	publishTo(p, "a", "0")
	cmd := subOf(p, "--save-cursor", cursor, "a")
	begin(t, cmd)
	require.Eventually(t, func() bool {
		_, err := os.Stat(cursor)
		return err == nil
	}, hubtest.Patience, 10*time.Millisecond)
	require.NoError(t, cmd.Process.Kill())
	await(cmd)
	publishTo(p, "a", "1")
	code, out, errs := finish(t, subOf(p, "--save-cursor", cursor, "--count", "1", "a"))
	require.Equal(t, exitDone, code, errs)
	require.Equal(t, "1\n", out)
}

// TestSubSurvivesHubRestart checks that sub reconnects to a hub that was restarted. It must report the
// loss of the connection, and that events may have been lost.
func TestSubSurvivesHubRestart(t *testing.T) {
	t.Parallel()
	address := fmt.Sprintf("127.0.0.1:%d", testkit.FreePorts(t, 1)[0])
	p := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--auth", "none", "--http", address)...))
	cmd := subOf(p, "--count", "2", "a")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	errs, err := cmd.StderrPipe()
	require.NoError(t, err)
	begin(t, cmd)
	lines, notices := bufio.NewReader(out), bufio.NewReader(errs)
	line := func(from *bufio.Reader) string {
		text, err := from.ReadString('\n')
		require.NoError(t, err)
		return text
	}
	require.Eventually(t, func() bool { return p.Stats().Subscribed.Subscriptions == 1 }, hubtest.Patience, 10*time.Millisecond)
	publishTo(p, "a", "1")
	require.Equal(t, "1\n", line(lines))
	p.Signal(syscall.SIGKILL)
	p.Wait()
	require.Contains(t, line(notices), "trivium: not connected, retrying: ")
	again := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--auth", "none", "--http", address)...))
	require.Eventually(t, func() bool { return again.Stats().Subscribed.Subscriptions == 1 }, hubtest.Patience, 10*time.Millisecond)
	publishTo(again, "a", "2")
	require.Equal(t, "2\n", line(lines))
	rest, err := io.ReadAll(notices)
	require.NoError(t, err)
	require.Contains(t, string(rest), "trivium: events may have been lost after ")
	require.Equal(t, exitDone, await(cmd))
}
