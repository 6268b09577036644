package hubtest

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Mebibyte is the number of bytes in a MiB.
const Mebibyte = 1 << 20

// PublishLines publishes n envelopes as NDJSON in one request, and returns the ID of the last event. If storage is
// unavailable, for example on a busy machine, it sends the remaining envelopes in another request. In this case, an
// envelope may be published twice.
func (p *Process) PublishLines(n int, line func(i int) string) (last string) {
	p.T.Helper()
	for done := 0; done < n; {
		first := done
		var accepted int
		accepted, last = p.publishLines(n-first, func(i int) string { return line(first + i) })
		done += accepted
	}
	return last
}

// publishLines sends one of the requests of PublishLines. It returns the number of accepted envelopes and, if all were
// accepted, the ID of the last event.
func (p *Process) publishLines(n int, line func(i int) string) (accepted int, last string) {
	p.T.Helper()
	reader, writer := io.Pipe()
	go func() {
		w := bufio.NewWriterSize(writer, 64<<10)
		for i := range n {
			if _, err := fmt.Fprintln(w, line(i)); err != nil {
				break // the hub has answered
			}
		}
		w.Flush()
		writer.Close()
	}()
	defer reader.Close() // ends the goroutine if the hub has answered early
	r, err := http.NewRequest(http.MethodPost, "http://"+p.HTTP+"/publish", reader)
	require.NoError(p.T, err)
	r.Header.Set("Content-Type", "application/x-ndjson")
	response, err := p.Client.Do(r)
	require.NoError(p.T, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(p.T, err)
	if response.StatusCode == http.StatusServiceUnavailable {
		p.T.Logf("publishing lines: %s", text)
		var problem struct{ Accepted int }
		require.NoError(p.T, json.Unmarshal(text, &problem))
		return problem.Accepted, ""
	}
	require.Equal(p.T, http.StatusOK, response.StatusCode, string(text))
	require.Contains(p.T, string(text), fmt.Sprintf(`"count":%d}`, n))
	return n, IDOf(p.T, string(text))
}

// HasMetrics waits until /metrics contains all the lines.
func (p *Process) HasMetrics(lines ...string) {
	p.T.Helper()
	var text string
	require.Eventually(p.T, func() bool {
		_, text = p.Request(http.MethodGet, "http://"+p.Admin+"/metrics", "", "")
		for _, line := range lines {
			if !strings.Contains("\n"+text, "\n"+line+"\n") {
				return false
			}
		}
		return true
	}, Patience, 20*time.Millisecond, "want %q", lines)
}

// Newest returns the position of the newest event.
func (p *Process) Newest() string { return p.Stats().Position }

// IDOf returns the ID in receipt, which is the hub's answer to a publish.
func IDOf(t *testing.T, receipt string) string {
	t.Helper()
	var r struct{ ID string }
	require.NoError(t, json.Unmarshal([]byte(receipt), &r))
	return r.ID
}

// Basic encodes a user name and a password as credentials of HTTP Basic authentication.
func Basic(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
}

// LimitFiles starts a hub with the given hard limit on open files and a lower soft limit, which the hub
// raises to the hard limit.
func LimitFiles(t *testing.T, start func(*testing.T, *exec.Cmd) *Process, files int, cmd *exec.Cmd) *Process {
	t.Helper()
	limited := exec.Command("sh", append([]string{"-c", `ulimit -S -n 64 && ulimit -H -n ` + strconv.Itoa(files) + ` && exec "$0" "$@"`}, cmd.Args...)...)
	limited.Env = cmd.Env
	return start(t, limited)
}
