package wasmdemo

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub/testkit"
)

// binary builds the trivium binary once. Its path has the form that go run uses, so that the hub
// builds the WebAssembly binary from this checkout. TestMain removes it.
var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "go-build1", "b001", "exe", "trivium")
	out, err := exec.Command("go", "build", "-C", "..", "-o", path, "./cmd/trivium").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// realHub is a trivium process. It can be stopped and started again on the same port.
type realHub struct {
	t      *testing.T
	binary string
	tokens string // path of the tokens file
	URL    string
	cmd    *exec.Cmd
	log    *journal
}

// journal collects the output of the hub.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// startHub starts a hub with a tokens file, and waits until the hub has built the WebAssembly
// binary. The hub is stopped when the test ends.
func startHub(t *testing.T, args ...string) *realHub {
	t.Helper()
	path, err := binary()
	require.NoError(t, err)
	h := &realHub{t: t, binary: path, tokens: filepath.Join(t.TempDir(), "tokens.yaml")}
	t.Cleanup(func() { h.stop() })
	h.token("first")
	h.start(fmt.Sprintf("127.0.0.1:%d", testkit.FreePorts(t, 1)[0]), args...)
	return h
}

// token adds a token to the file, and waits until the running hub accepts it.
func (h *realHub) token(name string) string {
	h.t.Helper()
	out, err := exec.Command(h.binary, "token", name, "--tokens", h.tokens, "--subscribe", ">", "--publish", ">").Output()
	require.NoError(h.t, err)
	token := strings.TrimSpace(string(out))
	require.Eventually(h.t, func() bool { return h.cmd == nil || h.accepts(token) }, patience, 10*time.Millisecond)
	return token
}

// accepts reports whether the hub accepts the token.
func (h *realHub) accepts(token string) bool {
	r, err := http.NewRequest(http.MethodGet, h.URL+"/poll?wait=0", nil)
	require.NoError(h.t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	defer func() { _ = answer.Body.Close() }()
	return answer.StatusCode == http.StatusOK
}

var announced = regexp.MustCompile(`(http://127\.0\.0\.1:\d+)/demo/`)

func (h *realHub) start(addr string, args ...string) {
	h.t.Helper()
	h.log = &journal{}
	args = append([]string{"serve", "--http", addr, "--udp", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--tokens", h.tokens, "--drain", "1s",
		"--read-timeout", "10m", "--write-timeout", "10m"}, args...)
	h.cmd = exec.Command(h.binary, args...)
	h.cmd.Dir = h.t.TempDir()
	// The tests' own TRIVIUM_ variables are removed, because the hub refuses unknown variables with
	// this prefix.
	h.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "TRIVIUM_") })
	h.cmd.Stderr = h.log
	require.NoError(h.t, h.cmd.Start())
	require.Eventually(h.t, func() bool { return announced.MatchString(h.log.String()) }, patience, 10*time.Millisecond, "%v", h.log)
	h.URL = announced.FindStringSubmatch(h.log.String())[1]
	require.Eventually(h.t, func() bool { return h.build() == "ready" }, patience, 50*time.Millisecond, "%v", h.log)
}

// build returns the state of the WebAssembly binary.
func (h *realHub) build() string {
	answer, err := http.Get(h.URL + "/demo/build")
	if err != nil {
		return err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	var build struct{ State, Detail string }
	require.NoError(h.t, json.NewDecoder(bufio.NewReader(answer.Body)).Decode(&build))
	require.NotEqual(h.t, "failed", build.State, build.Detail)
	return build.State
}

func (h *realHub) stop() {
	if h.cmd == nil {
		return
	}
	h.end(syscall.SIGINT)
}

// kill ends the hub by SIGKILL, so that it cannot shut down properly.
func (h *realHub) kill() { h.end(syscall.SIGKILL) }

func (h *realHub) end(signal syscall.Signal) {
	_ = h.cmd.Process.Signal(signal)
	_ = h.cmd.Wait() // another test checks the exit code
	h.cmd = nil
	http.DefaultClient.CloseIdleConnections()
}

// revoke removes all tokens from the file.
func (h *realHub) revoke() {
	h.t.Helper()
	require.NoError(h.t, os.WriteFile(h.tokens, []byte("tokens: []\n"), 0o600))
}
