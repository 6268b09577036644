//go:build unix

package hubs

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
	"github.com/trivium-hub/trivium/transports/problems"
)

// getPage requests a path of the main listener without a token.
func getPage(p *hubtest.Process, path string, header http.Header) (*http.Response, string) {
	p.T.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+p.HTTP+path, nil)
	require.NoError(p.T, err)
	for name, values := range header {
		r.Header[name] = values
	}
	r.Host = header.Get("Host")
	response, err := p.Client.Do(r)
	require.NoError(p.T, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(p.T, err)
	return response, string(body)
}

// buildState returns the state of the demo's build and, if the demo is not available, the reason. The hub
// sends both to a page that waits for the build.
func buildState(p *hubtest.Process) (state, detail string) {
	p.T.Helper()
	response, body := getPage(p, "/demo/build", nil)
	require.Equal(p.T, http.StatusOK, response.StatusCode)
	var got struct{ State, Detail string }
	require.NoError(p.T, json.Unmarshal([]byte(body), &got))
	return got.State, got.Detail
}

// TestDemoUnderGoRun starts the hub with go run, as the README shows, but from a directory outside of
// the checkout. The hub must build and serve the demo.
func TestDemoUnderGoRun(t *testing.T) {
	if testing.Short() {
		t.Skip("the test builds trivium and the demo page, which takes a long time")
	}
	t.Parallel()
	cmd := exec.Command("go", append([]string{"run", "-C", hubtest.ModuleRoot(t), "./cmd/trivium"}, hubtest.AnyPorts...)...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool { return strings.HasPrefix(variable, settings.EnvPrefix) })
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p := hubtest.Start(t, cmd)
	// The process group is killed, because go run does not forward signals to the hub.
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	require.Contains(t, p.Log(), "http://"+p.HTTP+"/demo/#token="+p.Token+"\n")
	state, detail := "building", ""
	require.Eventually(t, func() bool {
		state, detail = buildState(p)
		return state != "building"
	}, 2*hubtest.Patience, 100*time.Millisecond)
	require.Equal(t, "ready", state, detail)

	response, program := getPage(p, "/demo/app.wasm", nil)
	require.Equal(t, "application/wasm", response.Header.Get("Content-Type"))
	require.True(t, response.Uncompressed)
	require.Equal(t, "\x00asm", program[:4])
	_, loader := getPage(p, "/demo/wasm_exec.js", nil)
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	require.NoError(t, err)
	want, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(goroot)), "lib", "wasm", "wasm_exec.js"))
	require.NoError(t, err)
	require.Equal(t, string(want), loader)
	require.NoError(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGINT))
	p.Wait() // waits for go run and the hub; the exit code is ignored, because go run was interrupted
	require.Contains(t, p.Log(), `"msg":"the hub has stopped"`)
}

// The demo page can be loaded without a token. The hub still checks the Origin and Host headers of requests
// for the page. With --demo off, the hub does not serve the page.
func TestDemoGrantsNoAccess(t *testing.T) {
	closed := hubtest.Start(t, hubtest.Program(t, nil, hubtest.AnyPorts...))
	open := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--auth", "none")...))
	off := hubtest.Start(t, hubtest.Program(t, []string{"TRIVIUM_DEMO=off"}, hubtest.AnyPorts...))
	for name, c := range map[string]struct {
		p      *hubtest.Process
		path   string
		header http.Header
		status int
	}{
		"page":                {p: closed, path: "/demo/", status: 200},
		"redirect":            {p: closed, path: "/demo", status: 200},
		"examples":            {p: closed, path: "/demo/examples/", status: 200},
		"unknown":             {p: closed, path: "/demo/nowhere", status: 404},
		"binary not built":    {p: closed, path: "/demo/app.wasm", status: 404},
		"foreign origin":      {p: closed, path: "/demo/", header: http.Header{"Origin": {"https://evil.test"}}, status: 403},
		"unknown host":        {p: open, path: "/demo/", header: http.Header{"Host": {"evil.test"}}, status: 421},
		"unknown host, build": {p: open, path: "/demo/build", header: http.Header{"Host": {"evil.test"}}, status: 421},
		"off":                 {p: off, path: "/demo/", status: 404},
		"off, redirect":       {p: off, path: "/demo", status: 404},
	} {
		t.Run(name, func(t *testing.T) {
			response, _ := getPage(c.p, c.path, c.header)
			require.Equal(t, c.status, response.StatusCode)
			if c.status >= 400 {
				require.Equal(t, problems.ContentType, response.Header.Get("Content-Type"))
			}
		})
	}
	status, _ := closed.Request(http.MethodPost, "http://"+closed.HTTP+"/demo/", "", "")
	require.Equal(t, http.StatusMethodNotAllowed, status)

	require.NotContains(t, open.Log(), "/demo/\n", "a page without its WebAssembly binary is not announced")
	require.Contains(t, open.Log(), "/demo/examples/\n", "the examples are announced, because they need no WebAssembly binary")
	require.NotContains(t, off.Log(), "/demo/")
	_, named := getPage(closed, "/", nil)
	require.Contains(t, named, "/demo/")
	_, named = getPage(off, "/", nil)
	require.NotContains(t, named, "/demo/")
	state, detail := buildState(closed)
	require.Equal(t, "absent", state)
	require.Contains(t, detail, "go generate ./wasmdemo")
}

// A hub that was started by go run builds the demo page in the checkout; an installed hub does not.
// When the hub exits, it kills a build that is still running.
func TestOnlyGoRunBuilds(t *testing.T) {
	bin := t.TempDir()
	started := filepath.Join(bin, "started")
	// This script replaces the go command. It never exits by itself and ignores interrupts.
	require.NoError(t, os.WriteFile(filepath.Join(bin, "go"), []byte("#!/bin/sh\ntrap '' INT\necho $$ >'"+started+"'\nwhile :; do sleep 1; done\n"), 0o755))
	installed := hubtest.Binary(t, hubtest.AnyPorts...)
	installed.Dir = hubtest.ModuleRoot(t)
	installed.Env = append(installed.Env, "PATH="+bin+":/usr/bin:/bin")
	p := hubtest.Start(t, installed)
	state, _ := buildState(p)
	require.Equal(t, "absent", state)
	p.Signal(syscall.SIGTERM)
	p.Wait()
	require.NoFileExists(t, started)

	place := filepath.Join(t.TempDir(), "go-build1", "b001", "exe")
	require.NoError(t, os.MkdirAll(place, 0o755))
	require.NoError(t, os.Link(installed.Path, filepath.Join(place, "trivium")))
	run := exec.Command(filepath.Join(place, "trivium"), append(hubtest.AnyPorts, "--drain", "0")...)
	run.Env = installed.Env
	p = hubtest.Start(t, run)
	state, _ = buildState(p)
	require.Equal(t, "building", state)
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(started)
		return err == nil && len(text) > 0
	}, hubtest.Patience, 10*time.Millisecond)
	pid, err := os.ReadFile(started)
	require.NoError(t, err)
	p.Signal(syscall.SIGTERM)
	code, _ := p.Wait()
	require.Zero(t, code, p.Log())
	toolchain, err := strconv.Atoi(strings.TrimSpace(string(pid)))
	require.NoError(t, err)
	require.ErrorIs(t, syscall.Kill(toolchain, 0), syscall.ESRCH, "the toolchain has ended")
}
