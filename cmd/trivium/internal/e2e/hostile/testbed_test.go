package hostile

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/decode"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// testbed holds the hubs that the attacks use. All hubs accept the same tokens.
type testbed struct {
	*issuer
	tokens map[string]string // key: name in the tokens file
	udpKey []byte

	main    *hubtest.Process // the hub with all access settings
	open    *hubtest.Process // --auth none and --read-timeout openReadTimeout
	lenient *hubtest.Process // --auth none and long timeouts
	strict  *hubtest.Process // behind a trusted proxy, with low limits
	plain   *hubtest.Process // has low limits, and trusts no proxy
	text    *hubtest.Process // logs in text format and retains few events

	began   time.Time  // time before the first hub started
	limited sync.Mutex // held by the attack that uses strict

	mu          sync.Mutex
	tokensFile  string // tokens file of main
	textFile    string // tokens file of text
	quietFile   string // tokens file of the other hubs; it never changes
	revokedFile string
	entries     []tokenEntry
	revoked     []string
	secrets     []string
	answers     []string // bodies of all refusals
	watched     []*watch // one per hub
}

// openReadTimeout is the read timeout of the hub testbed.open. On a busy machine, seconds may pass between the
// opening of a connection and the end of its request.
const openReadTimeout = 8 * time.Second

// tokenEntry is an entry of the tokens file.
type tokenEntry struct {
	name, subscribe, publish, more string
}

// testbedTokens lists the tokens of the hubs. An attack that changes a token must use one that no
// other attack uses.
var testbedTokens = []tokenEntry{
	{name: "master", subscribe: `">"`, publish: `">"`},
	{name: "narrow", subscribe: `a.b, "x.*", "open.>", "caf` + "\u00e9" + `"`, publish: `a.b, "x.*"`},
	{name: "reader", subscribe: `">"`},
	{name: "publisher", publish: `">"`},
	{name: "ended", subscribe: `">"`, publish: `">"`, more: "expires: 2020-01-01T00:00:00Z"},
	{name: "removed", subscribe: `"load.>"`, publish: `"load.>"`},
	{name: "narrowed", subscribe: `"load.>"`, publish: `"load.>"`},
	{name: "many", subscribe: `"quiet"`}, // may read only a topic with few events
	{name: "unread on /sse", subscribe: `"load.>"`, more: "limits: {max-connections: 1}"},
	{name: "unread on /ws", subscribe: `"load.>"`, more: "limits: {max-connections: 1}"},
	{name: "one", subscribe: `">"`, publish: `">"`},
	{name: "two", subscribe: `">"`, publish: `">"`},
	{name: "three", subscribe: `">"`, publish: `">"`},
	{name: "hasty", subscribe: `">"`, publish: `">"`, more: "limits: {max-connect-rate: 2, max-publish-rate: 2}"},
}

func newTestbed(t *testing.T) *testbed {
	f := &testbed{began: time.Now(), tokens: map[string]string{}, entries: slices.Clone(testbedTokens)}
	f.issuer = newIssuer(t, f)
	for _, e := range f.entries {
		f.tokens[e.name] = f.secret(rand.Text() + "-._~" + rand.Text())
	}
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	f.udpKey = []byte(f.secret(rand.Text()))
	f.tokensFile, f.quietFile = file("tokens.yaml", f.tokensText()), file("quiet.yaml", f.tokensText())
	f.textFile = file("text.yaml", f.tokensText())
	f.revokedFile = file("revoked", "# none yet\n")
	access := []string{
		"--jwt-secret-file", file("secret", string(f.hmacKey)), "--jwt-key-file", file("keys.pem", f.pem),
		"--jwt-issuer", issuerName, "--jwt-audience", audience, "--revoked-file", f.revokedFile,
		"--origin", "https://app.example.com", "--origin", "https://*.example.org",
	}
	key := "--udp-secret-file=" + file("udp", string(f.udpKey)+"\n")
	// The URL contains a secret, so it is passed in the environment, which /debug/pprof/cmdline does not show.
	jwks := []string{"TRIVIUM_JWKS_URL=" + f.url + "/jwks.json?key=" + f.secret(rand.Text())}
	start := func(args ...string) *hubtest.Process {
		return hubtest.Start(t, hubtest.Program(t, jwks, slices.Concat(hubtest.AnyPorts, access, args)...))
	}
	f.main = start("--tokens", f.tokensFile, key, "--udp-allow", "127.0.0.1", "--ws-compression")
	f.strict = start("--tokens", f.quietFile, key, "--udp-allow", "192.0.2.0/24", "--trusted-proxy", "127.0.0.1",
		"--heartbeat", "100ms", "--max-connections", "6", "--max-connections-per-token", "2", "--max-connections-per-address", "3")
	f.plain = start("--tokens", f.quietFile, "--max-connections-per-address", "3")
	f.open = hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--auth", "none", "--read-timeout", openReadTimeout.String(), "--ws-compression")...))
	f.lenient = hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--auth", "none", "--read-timeout", "10m", "--ws-compression")...))
	f.text = hubtest.Start(t, hubtest.Program(t, jwks, slices.Concat(hubtest.AnyPorts, access, []string{
		"--tokens", f.textFile, "--log-format", "text", "--retain-events", "16", "--heartbeat", "50ms"})...))
	for _, p := range []*hubtest.Process{f.main, f.strict, f.plain, f.text} {
		p.Token = f.tokens["master"]
	}
	for _, p := range f.hubs() {
		f.watch(t, p)
	}
	for _, p := range []*hubtest.Process{f.main, f.strict, f.plain, f.text} {
		r := request{hub: p, line: pollNow, token: f.sign(f.remoteRSA, `{"alg":"RS256","kid":"remote-rsa"}`, claims(nil))}
		require.Eventually(t, func() bool { return f.do(t, r).status == http.StatusOK }, hubtest.Patience, 10*time.Millisecond)
	}
	return f
}

// serve starts another hub, which may use the tokens files of the testbed. serve holds f.mu, so that no
// attack changes the files while the hub starts.
func (f *testbed) serve(t *testing.T, cmd *exec.Cmd) *hubtest.Process {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	return hubtest.Start(t, cmd)
}

func (f *testbed) hubs() map[string]*hubtest.Process {
	return map[string]*hubtest.Process{"main": f.main, "open": f.open, "lenient": f.lenient, "strict": f.strict, "plain": f.plain, "text": f.text}
}

// secret records a string that must not appear in any output of a hub, and returns it.
func (f *testbed) secret(s string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.secrets = append(f.secrets, s)
	return s
}

func (f *testbed) tokensText() string {
	var b strings.Builder
	b.WriteString("tokens:\n")
	for _, e := range f.entries {
		fmt.Fprintf(&b, "- name: %q\n  sha256: %x\n  subscribe: [%s]\n  publish: [%s]\n  %s\n",
			e.name, sha256.Sum256([]byte(f.tokens[e.name])), e.subscribe, e.publish, e.more)
	}
	return b.String()
}

// change calls the parameter change to modify the entry of a token in the tokens file. If the call returns
// false, the entry is removed.
func (f *testbed) change(t *testing.T, name string, change func(*tokenEntry) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.entries, func(e tokenEntry) bool { return e.name == name })
	require.GreaterOrEqual(t, i, 0)
	if !change(&f.entries[i]) {
		f.entries = slices.Delete(f.entries, i, i+1)
	}
	replace(t, f.tokensFile, f.tokensText())
}

// revoke adds the ID of a JWT to the file of revoked tokens.
func (f *testbed) revoke(t *testing.T, id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.revoked = append(f.revoked, id)
	replace(t, f.revokedFile, strings.Join(f.revoked, "\n"))
}

// replace replaces a file atomically.
func replace(t *testing.T, path, text string) {
	require.NoError(t, os.WriteFile(path+".new", []byte(text), 0o600))
	require.NoError(t, os.Rename(path+".new", path))
}

// breach is part of the data of each event that a hub must refuse. If a subscriber receives it, an attack was successful.
const breach = "breach"

func breachIn(topic string) string { return `{"topic":"` + topic + `","data":"` + breach + `"}` }

// watch reads all events of a hub, and records the topics of events that contain breach.
type watch struct {
	hub    *hubtest.Process
	stream *decode.SSEDecoder
	ended  chan struct{}

	found []string // topics; read after ended is closed
}

func (f *testbed) watch(t *testing.T, p *hubtest.Process) {
	x := f.start(t, request{hub: p, line: "GET /sse?topic=>", token: p.Token})
	require.Equal(t, http.StatusOK, x.status)
	require.NoError(t, x.conn.SetDeadline(time.Time{}))
	w := &watch{hub: p, stream: x.stream, ended: make(chan struct{})}
	f.watched = append(f.watched, w)
	go func() {
		defer close(w.ended)
		for {
			e, err := w.stream.Next()
			switch {
			case err != nil || e.Type == "trivium.gap":
				w.found = append(w.found, fmt.Sprintf("the watch stopped early and may have missed an event: %v %v", err, e))
				return
			case e.Topic == "end.of.watch":
				return
			case strings.Contains(e.Data, breach):
				w.found = append(w.found, e.Topic)
			}
		}
	}()
}

// requireNoBreach stops the watches and requires that none of them has received an event with breach.
func (f *testbed) requireNoBreach(t *testing.T) {
	for _, w := range f.watched {
		x := f.do(t, request{hub: w.hub, line: "POST /publish/end.of.watch", token: w.hub.Token, body: "1"})
		require.Equal(t, http.StatusOK, x.status)
		<-w.ended
		require.Empty(t, w.found)
	}
}
