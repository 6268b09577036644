//go:build !js

package clienttest

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// long is the timeout of a suite that runs in another process.
const long = 20 * time.Minute

func TestNative(t *testing.T) {
	t.Parallel()
	suite(t, newEnv(startHarness(t).server.URL))
}

// missing skips a test because a program is not installed. If the program is required, the test
// fails instead.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv(envRequire) == "1" {
		t.Fatalf("%s, although TRIVIUM_REQUIRE_BROWSER is set", what)
	}
	t.Skip(what)
}

// TestNode runs the suite of the Go client under Node.js. Without TRIVIUM_LONG, it runs only in CI,
// because TestBrowser runs the same binary in a page.
func TestNode(t *testing.T) {
	if os.Getenv(envLong) == "" && os.Getenv(envRequire) != "1" {
		t.Skip("without TRIVIUM_LONG, the js/wasm suite of the Go client runs only in a page")
	}
	testNode(t)
}

// TestNodeTrivium runs the client suite with trivium.js under Node.js.
func TestNodeTrivium(t *testing.T) {
	testNode(t, "--import", "data:text/javascript,globalThis.trivium = await import(process.env."+envTriviumJS+")")
}

// testNode runs the suite under Node.js. load contains arguments of Node.js. If it is not empty,
// they load trivium.js, which is then the client under test.
func testNode(t *testing.T, load ...string) {
	if testing.Short() {
		t.Skip("the test builds the suite for js/wasm, which takes a long time")
	}
	t.Parallel()
	// Node.js 20 has a WebSocket only with this flag.
	const withSocket = "--experimental-websocket"
	if err := exec.Command("node", withSocket, "-e", "new WebSocket('ws://127.0.0.1:9').onerror = () => {}").Run(); err != nil {
		missing(t, "Node.js with a WebSocket (20.10 or newer) is not installed")
	}
	h := startHarness(t)
	binary := wasm(t)
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	args := slices.Concat([]string{withSocket, "--stack-size=8192"}, load, []string{wasmLibrary(t, "wasm_exec_node.js"), binary}, h.suiteArgs())
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Env = nil
	for name, value := range h.suiteEnv() { // no other variables, because the size of the environment is limited
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if len(load) > 0 {
		path, err := filepath.Abs(triviumFile)
		require.NoError(t, err)
		cmd.Env = append(cmd.Env, envTriviumJS+"=file://"+path)
	}
	out, err := cmd.CombinedOutput()
	report(t, string(out), err == nil)
}

// wasm returns the path of the suite's js/wasm binary.
func wasm(t *testing.T) string {
	t.Helper()
	binary, err := suiteBinary()
	require.NoError(t, err, "building the suite for js/wasm")
	return binary
}

// suiteArgs returns the arguments for the suite in another process. The part of -run after the first slash selects
// tests of the suite.
func (h *harness) suiteArgs() []string {
	_, below, found := strings.Cut(flag.Lookup("test.run").Value.String(), "/")
	pattern := "^TestInside$"
	if found {
		pattern += "/" + below
	}
	return []string{"-test.v", "-test.parallel=" + jsParallel, "-test.timeout=" + long.String(), "-test.run=" + pattern}
}

func (h *harness) suiteEnv() map[string]string {
	env := map[string]string{envControl: h.server.URL}
	for _, name := range []string{envLong, envSeed} {
		if value, found := os.LookupEnv(name); found {
			env[name] = value
		}
	}
	return env
}

// progress matches the progress lines of go test -v.
var progress = regexp.MustCompile(`(?m)^\s*=== (RUN|PAUSE|CONT) .*\n`)

// report fails or passes the test according to the output of a suite that ran under Node.js or in a
// page.
func report(t *testing.T, out string, ok bool) {
	t.Helper()
	out = progress.ReplaceAllString(out, "")
	if !ok || !strings.Contains(out, "--- PASS: TestInside") {
		t.Errorf("the suite failed:\n%s", out)
		return
	}
	t.Logf("%s", out)
	require.NotContains(t, out, "call to released function", "no released callback is called")
}
