//go:build unix

package docs

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/hub/testkit"
)

// clientsDir is the directory of the programs of TestClients. Each program subscribes with one library to the hub at
// the URL in the variable HUB, and prints the number of each event.
const clientsDir = repository + "/testdata/clients"

// TestClients runs widely used client libraries while it drains the hub, resets its TCP connections
// and kills it. The clients connect directly and through proxies. Each client must print the numbers
// 1 to 34 once and in order. The test takes minutes. It runs only if TRIVIUM_CLIENTS is set: to 1, or
// to a regular expression that selects clients by name.
func TestClients(t *testing.T) {
	skipUnlessChosen(t)
	programs := preparePrograms(t)
	var mu sync.Mutex
	results := map[string]map[string]string{} // result by name of the client and name of the front
	t.Run("behind", func(t *testing.T) {
		for _, f := range fronts {
			t.Run(f.name, func(t *testing.T) {
				t.Parallel()
				r := startClientRun(t, f, programs)
				r.runOutages()
				mu.Lock()
				defer mu.Unlock()
				for _, c := range r.clients {
					if results[c.name] == nil {
						results[c.name] = map[string]string{}
					}
					results[c.name][f.name], _, _ = strings.Cut(c.result(), " ")
					t.Logf("%-36s %s", c.name, c.result())
				}
			})
		}
	})
	compareTable(t, results)
}

// skipUnlessChosen skips the test unless TRIVIUM_CLIENTS is set.
func skipUnlessChosen(t *testing.T) {
	t.Helper()
	if os.Getenv("TRIVIUM_CLIENTS") == "" {
		t.Skip("TRIVIUM_CLIENTS is not set")
	}
}

// clientPrograms holds the clients of TestClients: programs, and scripts for pages in a browser.
type clientPrograms struct {
	commands map[string][]string // key: name of a client; value: its command line
	pages    map[string]string   // key: name of a browser client; value: path of its script below clientsDir
}

// preparePrograms builds the Go clients, and finds the interpreters that run the other clients.
func preparePrograms(t *testing.T) clientPrograms {
	t.Helper()
	p := clientPrograms{map[string][]string{}, map[string]string{}}
	node := hubtest.NeedTool(t, "node", "Debian's nodejs")
	if _, err := os.Stat(filepath.Join(clientsDir, "node_modules")); err != nil {
		hubtest.LackTool(t, "the libraries are not installed: run npm ci in testdata/clients")
	}
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import aiohttp, requests, websockets").Run(); err != nil {
		hubtest.LackTool(t, "Debian's python3-aiohttp, python3-requests and python3-websockets are not installed")
	}
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin+"/", "./...")
	build.Dir = filepath.Join(clientsDir, "go")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	for kind, files := range map[string]string{"node": "node/*.mjs", "python": "python/*.py", "go": "go/*/main.go", "browser": "browser/*.js"} {
		paths, err := filepath.Glob(filepath.Join(clientsDir, files))
		require.NoError(t, err)
		require.NotEmpty(t, paths, kind)
		for _, file := range paths {
			name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
			switch kind {
			case "node":
				p.commands["node/"+name] = []string{node, file}
			case "python":
				p.commands["python/"+name] = []string{python, file}
			case "go":
				name = filepath.Base(filepath.Dir(file))
				p.commands["go/"+name] = []string{filepath.Join(bin, name)}
			default:
				p.pages["browser/"+name] = "browser/" + filepath.Base(file)
			}
		}
	}
	if pattern := os.Getenv("TRIVIUM_CLIENTS"); pattern != "1" {
		wanted := regexp.MustCompile(pattern)
		maps.DeleteFunc(p.commands, func(name string, _ []string) bool { return !wanted.MatchString(name) })
		maps.DeleteFunc(p.pages, func(name, _ string) bool { return !wanted.MatchString(name) })
	}
	return p
}

// libraryClient is one running client and its output.
type libraryClient struct {
	name string

	mu    sync.Mutex
	ready bool // the client has received event 0, which only shows that it is connected
	got   []int
	said  strings.Builder // output lines that are not numbers
	lost  bool            // the client has ended or missed a deadline, so the test no longer waits for its events
}

func (c *libraryClient) isReady() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ready
}

// words returns the client's output lines that are not numbers.
func (c *libraryClient) words() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.said.String()
}

// take records a line of the client's output.
func (c *libraryClient) take(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && n == 0 {
		c.ready = true
	} else if err == nil {
		c.got = append(c.got, n)
	} else if strings.HasPrefix(line, "ended") { // the client will not reconnect
		c.lost = true
	} else if c.said.Len() < 4<<10 {
		c.said.WriteString(line + "\n")
	}
}

// awaits reports whether event n has not arrived and the test still waits for it.
func (c *libraryClient) awaits(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.lost && !slices.Contains(c.got, n)
}

func (c *libraryClient) giveUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost = true
}

// result describes how many events arrived, and which were missing, duplicated or out of order.
func (c *libraryClient) result() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := map[int]bool{}
	fault, missing := "", ""
	for i, n := range c.got {
		if seen[n] {
			fault = ", some twice"
		} else if i > 0 && n < c.got[i-1] {
			fault = ", out of order"
		}
		seen[n] = true
	}
	for n := 1; n <= showEvents; n++ {
		if !seen[n] {
			missing += fmt.Sprint(" ", n)
		}
	}
	if missing != "" {
		fault += ", without" + missing
	}
	return fmt.Sprintf("%d of %d%s", len(seen), showEvents, fault)
}

// clientRun is one run of all clients behind one front, which is the hub itself or a proxy.
type clientRun struct {
	t       *testing.T
	args    []string
	url     string // URL of the hub itself, which is not the URL that clients connect to
	hub     *hubtest.Process
	relay   *relay // relay through which the clients connect to the front
	clients []*libraryClient
	sent    int
}

const showEvents = 34

// clientPatience is the maximum time for a client to reconnect.
const clientPatience = 2 * time.Minute

func startClientRun(t *testing.T, f front, programs clientPrograms) *clientRun {
	t.Helper()
	ports := testkit.FreePorts(t, 2)
	address := fmt.Sprintf("127.0.0.1:%d", ports[0])
	r := &clientRun{t: t, args: []string{
		"serve", "--http", address, "--udp", "off", "--admin", fmt.Sprintf("127.0.0.1:%d", ports[1]), "--auth", "none",
		"--engine", "embedded", "--store", t.TempDir(), "--log-format", "json", "--drain", "3s", "--trusted-proxy", "127.0.0.1",
	}}
	r.url = "http://" + address
	if f.hubTLS {
		certificate, key := certificateFiles(t)
		r.args = append(r.args, "--tls-cert", certificate, "--tls-key", key)
		r.url = "https://" + address
	}
	r.start()
	r.relay = startRelay(t, f.start(t, address))
	scheme := "http://"
	if f.tls {
		scheme = "https://"
	}
	base := scheme + r.relay.address()
	env := []string{"HUB=" + base, "HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	if f.tls {
		authority, _ := certificateFiles(t)
		env = append(env, "NODE_EXTRA_CA_CERTS="+authority, "SSL_CERT_FILE="+authority, "REQUESTS_CA_BUNDLE="+authority)
	}
	for name, command := range programs.commands {
		r.startCommand(name, command, env)
	}
	startPages(t, base, programs.pages, r.add)
	r.awaitReaders()
	return r
}

func (r *clientRun) add(name string) *libraryClient {
	c := &libraryClient{name: name}
	r.clients = append(r.clients, c)
	return c
}

func (r *clientRun) startCommand(name string, command, env []string) {
	c := r.add(name)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = env
	out, err := cmd.StdoutPipe()
	require.NoError(r.t, err)
	cmd.Stderr = cmd.Stdout
	require.NoError(r.t, cmd.Start())
	var reading sync.WaitGroup
	reading.Go(func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			c.take(lines.Text())
		}
	})
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		reading.Wait()
		_ = cmd.Wait()
	})
}

// awaitReaders publishes event 0 repeatedly until every client has received it, which shows that the
// client is connected. Event 0 is not part of the result.
func (r *clientRun) awaitReaders() {
	r.t.Helper()
	for deadline := time.Now().Add(clientPatience); ; time.Sleep(300 * time.Millisecond) {
		r.send(0)
		unready := slices.DeleteFunc(slices.Clone(r.clients), (*libraryClient).isReady)
		if len(unready) == 0 {
			return
		}
		if time.Now().After(deadline) {
			for _, c := range unready {
				r.t.Errorf("%s has not received event 0: %s", c.name, c.words())
			}
			r.t.FailNow()
		}
	}
}

func (r *clientRun) send(n int) {
	r.t.Helper()
	r.hub.PublishAt(r.url+"/publish/show", "application/json", fmt.Sprintf(`{"n":%d}`, n))
}

// publish publishes the next n events.
func (r *clientRun) publish(n int) {
	for range n {
		r.sent++
		r.send(r.sent)
	}
}

// await waits until every client has received all published events or has missed the deadline.
func (r *clientRun) await() {
	deadline := time.Now().Add(clientPatience)
	for _, c := range r.clients {
		for c.awaits(r.sent) {
			if time.Now().After(deadline) {
				c.giveUp()
				r.t.Logf("%s: %s after event %d: %s", c.name, c.result(), r.sent, c.words())
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// runOutages drains and restarts the hub, resets all connections, and kills and restarts the hub.
// Events 9 and 26 are published directly after a restart, while no client is connected.
func (r *clientRun) runOutages() {
	r.publish(8)
	r.await()

	r.hub.Signal(syscall.SIGTERM)
	code, _ := r.hub.Wait()
	require.Zero(r.t, code)
	r.start()
	r.publish(1)
	r.await()
	r.publish(8)
	r.await()

	r.relay.reset()
	r.publish(8)
	r.await()

	r.hub.Signal(syscall.SIGKILL)
	r.hub.Wait()
	r.start()
	r.publish(1)
	r.await()
	r.publish(8)
	r.await()
	require.Equal(r.t, showEvents, r.sent)
}

// start starts the hub, with a self-signed certificate if the run uses TLS.
func (r *clientRun) start() {
	r.hub = hubtest.Start(r.t, hubtest.Binary(r.t, r.args...))
	r.hub.Client.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
}
