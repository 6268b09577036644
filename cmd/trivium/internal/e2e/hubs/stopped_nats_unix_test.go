//go:build unix

package hubs

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/decode"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/natstest"
	"github.com/trivium-hub/trivium/hub/testkit"
)

// pollLimit is the maximum time that the answer to a poll may take in addition to the poll's wait time. On an idle
// machine, it takes at most a second; TestPollIsOnTimeWhileLogStalls checks this with a fake clock.
const pollLimit = time.Minute

// pollResult is the answer to a poll.
type pollResult struct {
	query      string
	wait       int // seconds
	took       time.Duration
	status     int
	retryAfter string
	text       string
	err        error
}

// pollAll sends a poll for each combination of a query and a wait time, all at the same time, and returns the answers.
func pollAll(p *hubtest.Process, waits []int, queries ...string) []pollResult {
	results := make([]pollResult, len(waits)*len(queries))
	var polling sync.WaitGroup
	for i := range results {
		r := &results[i]
		r.query, r.wait = queries[i/len(waits)], waits[i%len(waits)]
		polling.Go(func() {
			begin := time.Now()
			response, err := p.Client.Get(fmt.Sprintf("http://%s/poll?wait=%d&%s", p.HTTP, r.wait, r.query))
			if err != nil {
				r.err = err
				return
			}
			defer response.Body.Close()
			text, err := io.ReadAll(response.Body)
			r.took, r.status, r.retryAfter, r.text, r.err = time.Since(begin), response.StatusCode, response.Header.Get("Retry-After"), string(text), err
		})
	}
	polling.Wait()
	return results
}

// stoppableNATS starts a NATS server in a separate process, so that a test can stop the server with SIGSTOP.
func stoppableNATS(t *testing.T) (server *exec.Cmd, port int) {
	port = testkit.FreePorts(t, 1)[0]
	server = natstest.Start(t, natstest.Place{Name: "n", Port: port, Store: t.TempDir()})
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	return server, port
}

// While the NATS server is stopped by SIGSTOP, each poll is answered in time: with events that are in
// the hub's memory, without events, or with status 503. After the server continues, all events can be
// read.
func TestPollsAreAnsweredWhileNATSIsStopped(t *testing.T) {
	t.Parallel()
	server, port := stoppableNATS(t)
	p := hubtest.Start(t, hubtest.Binary(t, append(hubtest.AnyPorts, "--auth", "none", "--engine", "nats", "--nats-url", fmt.Sprint("nats://127.0.0.1:", port),
		"--retain-events", "1000", "--retain-bytes", "256MiB", "--retain-age", "24h")...))
	begin := p.Poll("wait=0").Cursor
	const old = 30
	p.Publish("application/json", "["+strings.Repeat(`{"topic":"old","data":1},`, old-1)+`{"topic":"old","data":1}]`)
	large := fmt.Sprintf(`{"topic":"large","data":%q}`, strings.Repeat("x", 1<<20-100))
	p.PublishLines(8*9, func(int) string { return large }) // 72 MiB, which removes the old events from the in-memory log
	p.Publish("application/json", `{"topic":"new","data":1}`)
	require.Less(t, p.Stats().Events.Retained, 8*9, "the in-memory log no longer contains the old events")
	newest := p.Newest()
	epoch, _, _ := strings.Cut(newest, "-")

	require.NoError(t, server.Process.Signal(syscall.SIGSTOP))
	for _, r := range pollAll(p, []int{0, 1, 3},
		"topic=new", "topic=new&cursor="+newest, "topic=new&last=1", "topic=old", "topic=old&cursor="+begin, "topic=old&topic=x.*&cursor="+begin+"&max=1000",
		"topic=old&last=3", "topic=*&topic=x.>&last=3", "last=1000&topic=old&topic=new", "topic=old&since=5m", "topic=new&since=1m",
		"topic=old&cursor="+epoch+"-99999", "topic=old&cursor=00000002-5") {
		t.Logf("wait=%d&%s: %d after %v", r.wait, r.query, r.status, r.took.Round(time.Millisecond))
		require.NoError(t, r.err, r.query)
		require.Less(t, r.took, time.Duration(r.wait)*time.Second+pollLimit, r.query)
		require.Contains(t, []int{http.StatusOK, http.StatusServiceUnavailable}, r.status, "%s: %s", r.query, r.text)
		require.Equal(t, r.status != http.StatusOK, r.retryAfter != "", r.query)
	}
	require.NoError(t, server.Process.Signal(syscall.SIGCONT))

	read := 0
	for cursor := begin; read < old; {
		status, text := p.Request(http.MethodGet, "http://"+p.HTTP+"/poll?wait=50&topic=old&cursor="+cursor, "", "")
		if status == http.StatusServiceUnavailable {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		require.Equal(t, http.StatusOK, status, text)
		answer, err := decode.DecodePollAnswer([]byte(text))
		require.NoError(t, err)
		require.Nil(t, answer.Gap)
		read += len(answer.Events)
		cursor = answer.Cursor
	}
	require.Equal(t, old, read)
}

// A hub that is started while the NATS server is stopped by SIGSTOP answers each poll immediately with status 503. After
// the server continues, the hub becomes ready.
func TestPollsAreAnsweredWhileHubStarts(t *testing.T) {
	t.Parallel()
	server, port := stoppableNATS(t)
	require.NoError(t, server.Process.Signal(syscall.SIGSTOP))
	p := serveUnready(t, port)
	for _, r := range pollAll(p, []int{0, 1, 50}, "topic=a", "last=5", "since=5m", "cursor=00000001-5") {
		t.Logf("wait=%d&%s: %d after %v", r.wait, r.query, r.status, r.took.Round(time.Millisecond))
		require.NoError(t, r.err, r.query)
		require.Less(t, r.took, 45*time.Second, "wait=%d&%s", r.wait, r.query)
		require.Equal(t, http.StatusServiceUnavailable, r.status, r.query)
		require.NotEmpty(t, r.retryAfter, r.query)
		require.Contains(t, r.text, "the hub is starting")
	}
	require.NoError(t, server.Process.Signal(syscall.SIGCONT))
	require.Eventually(t, func() bool {
		status, _ := p.Request(http.MethodGet, "http://"+p.HTTP+"/readyz", "", "")
		return status == http.StatusOK
	}, hubtest.Patience, 20*time.Millisecond, p.Log)
	require.Empty(t, p.Poll("wait=0&topic=a").Events)
}
