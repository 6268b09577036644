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
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/transports/client"
)

// sub returns a command that runs trivium sub against the hub with the hub's token.
func (p *process) sub(args ...string) *exec.Cmd {
	p.t.Helper()
	return program(p.t, []string{"TRIVIUM_URL=http://" + p.http, "TRIVIUM_TOKEN=" + p.token}, append([]string{"sub"}, args...)...)
}

// begin starts a command. The command is killed at the end of the test, or after patience.
func begin(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	require.NoError(t, cmd.Start())
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
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

// finish runs a command until it ends.
func finish(t *testing.T, cmd *exec.Cmd) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	begin(t, cmd)
	return await(cmd), stdout.String(), stderr.String()
}

func (p *process) publishTo(topic, data string) {
	p.t.Helper()
	status, text := p.request(http.MethodPost, "http://"+p.http+"/publish/"+topic, "", data)
	require.Equal(p.t, http.StatusOK, status, text)
}

// TestSub checks that sub prints the same events over every transport, in each format.
func TestSub(t *testing.T) {
	p := serve(t, program(t, nil, anyPorts...))
	began := time.Now().Format(time.RFC3339Nano)
	p.publish("application/json", `[{"topic":"a.b","data":{"n": 1}},{"topic":"c","data":"other"},`+
		`{"topic":"a.c","type":"t","key":"k","text":true,"data":"two\nlines"},{"topic":"a.b","data_base64":"AP8="}]`)
	var ids []string
	for _, e := range p.poll("topic=a.>&last=3").Events {
		ids = append(ids, e.ID.String())
	}
	for _, transport := range []string{"auto", "websocket", "sse", "longpoll"} {
		code, out, errs := finish(t, p.sub("--transport", transport, "--last", "3", "--count", "3", "a.>"))
		require.Equal(t, exitDone, code, errs)
		require.Equal(t, "{\"n\": 1}\n\"two\\nlines\"\nAP8=\n", out)
		require.Empty(t, errs)

		code, out, errs = finish(t, p.sub("--transport", transport, "--since", "1h", "--count", "3", "--json", "a.b", "a.c"))
		require.Equal(t, exitDone, code, errs)
		require.Equal(t, 3, strings.Count(out, "\n"))
		for i, line := range strings.Split(strings.TrimSpace(out), "\n") {
			e, err := client.DecodeEnvelope([]byte(line))
			require.NoError(t, err)
			require.Equal(t, ids[i], e.ID.String())
		}

		code, out, errs = finish(t, p.sub("--transport", transport, "--since", began, "--count", "3", "a.>"))
		require.Equal(t, exitDone, code, errs)
		require.Equal(t, "{\"n\": 1}\n\"two\\nlines\"\nAP8=\n", out)

		code, out, errs = finish(t, p.sub("--transport", transport, "--cursor", "00000001-5", "--count", "1", "--json", "a.c"))
		require.Equal(t, exitDone, code, errs)
		require.Contains(t, out, `{"gap":{"reason":"epoch","after":"00000001-5","resumed_at":"`)
		require.Contains(t, errs, "trivium: events may have been lost after 00000001-5 (epoch); resuming after ")
		require.Equal(t, 2, strings.Count(out, "\n"))
	}
}

func TestSubRefused(t *testing.T) {
	tokens := filepath.Join(t.TempDir(), "tokens.yaml")
	made, err := program(t, nil, "token", "reader", "--tokens", tokens, "--subscribe", "a.>").Output()
	require.NoError(t, err)
	p := serve(t, program(t, nil, append(anyPorts, "--tokens", tokens)...))
	good := strings.TrimSpace(string(made))
	for _, transport := range []string{"auto", "websocket", "sse", "longpoll"} {
		for token, c := range map[string]struct {
			topic, want string
		}{
			good:                     {"b", "trivium: the hub answered 403 Forbidden: this token may not subscribe to b\n"},
			"no-such-token-anywhere": {"a.b", "trivium: the hub answered 401 "},
		} {
			p.token = token
			cursor := filepath.Join(t.TempDir(), "cursor")
			code, out, errs := finish(t, p.sub("--transport", transport, "--save-cursor", cursor, c.topic))
			require.Equal(t, exitFailed, code)
			require.Empty(t, out)
			require.True(t, strings.HasPrefix(errs, c.want), errs)
			require.NotContains(t, errs, token)
			require.NoFileExists(t, cursor)
		}
	}
}

// TestSubResumes checks that each run of sub resumes where the previous one stopped, whether that
// ended by itself, by a signal or because its output was closed.
func TestSubResumes(t *testing.T) {
	p := serve(t, program(t, nil, anyPorts...))
	cursor := filepath.Join(t.TempDir(), "cursor")
	args := []string{"--save-cursor", cursor, "--last", "2", "a"}
	for i := range 4 {
		p.publishTo("a", fmt.Sprint(i))
	}

	code, out, errs := finish(t, p.sub(append(args, "--count", "1")...))
	require.Equal(t, exitDone, code, errs)
	require.Equal(t, "2\n", out, "the first run begins as it was told to")
	p.publishTo("a", "4")
	code, out, errs = finish(t, p.sub(append(args, "--count", "2")...))
	require.Equal(t, exitDone, code, errs)
	require.Equal(t, "3\n4\n", out)

	// Events that sub has written to a pipe which is then closed unread count as not printed.
	reading, writing, err := os.Pipe()
	require.NoError(t, err)
	cmd := p.sub(args...)
	cmd.Stdout = writing
	begin(t, cmd)
	require.NoError(t, writing.Close())
	p.publishTo("a", "5")
	line, err := bufio.NewReader(reading).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "5\n", line)
	require.NoError(t, reading.Close())
	p.publishTo("a", "6")
	require.Equal(t, exitDone, await(cmd))

	// A signal ends the command with the documented exit code.
	cmd = p.sub(args...)
	read, err := cmd.StdoutPipe()
	require.NoError(t, err)
	begin(t, cmd)
	line, err = bufio.NewReader(read).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "6\n", line)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.Equal(t, exitDone, await(cmd))

	p.publishTo("a", "7")
	code, out, errs = finish(t, p.sub("--save-cursor", cursor, "--cursor", "00000001-1", "--count", "1", "a"))
	require.Equal(t, exitDone, code, errs)
	require.Equal(t, "7\n", out)
	require.Empty(t, errs, "the file takes precedence over --cursor, which would cause a gap")
}

// TestSubKilledBeforeFirstEvent checks that no event is missed if sub is killed before it has
// printed one.
func TestSubKilledBeforeFirstEvent(t *testing.T) {
	p := serve(t, program(t, nil, anyPorts...))
	cursor := filepath.Join(t.TempDir(), "cursor")
	p.publishTo("a", "0")
	cmd := p.sub("--save-cursor", cursor, "a")
	begin(t, cmd)
	require.Eventually(t, func() bool {
		_, err := os.Stat(cursor)
		return err == nil
	}, patience, 10*time.Millisecond)
	require.NoError(t, cmd.Process.Kill())
	await(cmd)
	p.publishTo("a", "1")
	code, out, errs := finish(t, p.sub("--save-cursor", cursor, "--count", "1", "a"))
	require.Equal(t, exitDone, code, errs)
	require.Equal(t, "1\n", out)
}

// TestSubSurvivesHubRestart checks that sub reconnects to a restarted hub, and reports both the
// loss of the connection and the reconnection.
func TestSubSurvivesHubRestart(t *testing.T) {
	t.Parallel()
	p := serve(t, program(t, nil, append(anyPorts, "--auth", "none")...))
	cmd := p.sub("--count", "2", "a")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	errs, err := cmd.StderrPipe()
	require.NoError(t, err)
	begin(t, cmd)
	lines, told := bufio.NewReader(out), bufio.NewReader(errs)
	line := func(from *bufio.Reader) string {
		text, err := from.ReadString('\n')
		require.NoError(t, err)
		return text
	}
	require.Eventually(t, func() bool { return p.stats().Subscribed.Subscriptions == 1 }, patience, 10*time.Millisecond)
	p.publishTo("a", "1")
	require.Equal(t, "1\n", line(lines))
	p.signal(syscall.SIGKILL)
	p.wait()
	require.Contains(t, line(told), "trivium: not connected, retrying: ")
	again := serve(t, program(t, nil, append(anyPorts, "--auth", "none", "--http", p.http)...))
	require.Eventually(t, func() bool { return again.stats().Subscribed.Subscriptions == 1 }, patience, 10*time.Millisecond)
	again.publishTo("a", "2")
	require.Equal(t, "2\n", line(lines))
	rest, err := io.ReadAll(told)
	require.NoError(t, err)
	require.Contains(t, string(rest), "trivium: events may have been lost after ")
	require.Equal(t, exitDone, await(cmd))
}
