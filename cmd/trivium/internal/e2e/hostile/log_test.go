package hostile

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

var logAttacks = []attack{
	{"line breaks and escape codes in values that the hub logs", escapeCodes},
}

// hostileTexts would control a terminal or forge a log line if they were logged without escaping.
var hostileTexts = []string{
	"\n{\"level\":\"INFO\",\"msg\":\"forged\"}", "\r\nlevel=INFO msg=forged", "\r", "\x1b[2J\x1b[31m", "\x1b]0;title\x07", "\x07\x08\x7f", "\x00", "\t",
	"\u009b31m", "\u0085forged", "\u2028forged", "\u2029", "\u202e\u2066", "\ufeff", "\x9b31m\xff", "\" msg=forged \"", "\\n\\u001b", "{{.}}%s%n${jndi:ldap://evil.test}",
}

func escapeCodes(t *testing.T, f *testbed) {
	for _, p := range []*hubtest.Process{f.main, f.text} {
		for _, text := range hostileTexts {
			escaped := strings.ReplaceAll(fmt.Sprintf("% x", text), " ", "%")
			for _, r := range []request{
				{line: "GET /sse", header: []string{"Origin: https://" + text}},
				{line: "GET /ws", header: []string{"Origin: " + text + "evil.test", "User-Agent: " + text}},
				{line: pollNow, header: []string{"User-Agent: " + text, "Referer: " + text, "X-Forwarded-For: " + text, "Cookie: trivium_token=" + text}},
				{line: "GET /" + "%" + escaped}, {line: "GET /sse?access_token=%" + escaped}, {line: "GET /sse?topic=%" + escaped, token: p.Token},
				{line: "POST /publish/%" + escaped, token: p.Token, body: "1"}, {line: "POST /publish/%" + escaped, body: "1"},
				{line: "POST /publish", token: p.Token, body: `{"topic":` + quoted(text) + `,"type":` + quoted(text) + `,"data":1}`},
				{line: pollNow, token: f.jwt(map[string]string{"sub": quoted(text), "jti": quoted("x" + text)})},
				{line: pollNow, token: f.sign(f.strange, `{"alg":"RS256","kid":`+quoted(text)+`}`, claims(map[string]string{"sub": quoted(text)}))},
				{line: "G\x1bT /"}, {line: "GET /" + text}, {line: "GET / HTTP/1.1\r\n" + text + ": x\r\nX: "}, {line: pollNow, host: "evil.test" + text},
			} {
				r.hub = p
				x := f.send(t, p.HTTP, r.text())
				_, err := x.reader.ReadByte() // any answer is enough; net/http answers the invalid requests
				require.NoError(t, err, "%q", r.line)
				x.conn.Close()
			}
		}
	}
	// Hostile strings may also be in a file, for example in the name of a token.
	f.mu.Lock()
	defer f.mu.Unlock()
	broken := "tokens:\n"
	for _, text := range hostileTexts {
		yaml := strings.ToValidUTF8(strings.Trim(quoted(text), `"`), "")
		broken += fmt.Sprintf("- name: \"%s\"\n  \"k%s\": 1\n  subscribe: [\"%s\"]\n", yaml, yaml, yaml)
	}
	replace(t, f.tokensFile, broken)
	replace(t, f.textFile, broken)
	for _, p := range []*hubtest.Process{f.main, f.text} {
		require.Eventually(t, func() bool { return strings.Contains(p.Log(), "stays in use") }, hubtest.Patience, 10*time.Millisecond)
	}
	replace(t, f.tokensFile, f.tokensText())
	replace(t, f.textFile, f.tokensText())
	for _, p := range f.hubs() {
		requireCleanLog(p, t)
	}
}

// requireCleanLog requires that each log line was written by the hub and is safe to print.
func requireCleanLog(p *hubtest.Process, t *testing.T) {
	t.Helper()
	_, log, _ := strings.Cut(p.Log(), "msg=listening")
	if log == "" {
		_, log, _ = strings.Cut(p.Log(), "\"listening\"")
	}
	lines := strings.Split(log, "\n")
	for _, line := range lines[1 : len(lines)-1] {
		if !strings.HasPrefix(line, "time=") {
			require.True(t, strings.HasPrefix(line, `{"time":"`) && json.Valid([]byte(line)), "%q", line)
		}
		require.False(t, strings.ContainsFunc(line, func(r rune) bool {
			return unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
		}), "%q", line)
	}
}

// sendMisplacedTokens sends a token in many parts of a request that are not meant for tokens. It does not
// send the token as a topic, because the refusal of a topic contains the topic.
func (f *testbed) sendMisplacedTokens(t *testing.T, p *hubtest.Process) {
	token := f.secret(rand.Text() + rand.Text())
	f.try(t, request{hub: p, line: "PUT /publish/" + token, body: "1"})
	for _, r := range []request{
		{line: "GET /" + token}, {line: "GET /sse/" + token}, {line: "POST /" + token, body: "1"}, {line: token + " /"},
		{line: pollNow + "&" + token}, {line: pollNow + "&token=" + token}, {line: pollNow + "&cursor=" + token}, {line: pollNow + "&last=" + token}, {line: pollNow + "&since=" + token},
		{line: pollNow + "&wait=" + token}, {line: pollNow + "&max=" + token}, {line: pollNow + "&conflate=" + token}, {line: "GET /sse?envelope=" + token}, {line: "GET /ws?subscribe=" + token},
		{line: pollNow + "&access_token=" + token + "&%zz"}, {line: pollNow + "&access_token=" + token + ";x"}, {line: pollNow + "&access_token=%" + token}, {line: "GET /sse?access_token=" + token + "#x"},
		{line: pollNow, host: token + ".localhost"}, {line: pollNow, host: token + ".evil.test"}, {line: pollNow, host: token + "@localhost"},
		{line: "GET /ws", header: []string{"Sec-WebSocket-Protocol: trivium.bearer." + token}}, {line: "GET /ws", header: []string{"Sec-WebSocket-Protocol: " + token}},
		{line: "GET /ws", header: []string{"Sec-WebSocket-Key: " + token}}, {line: "POST /session?access_token=" + token, body: "1"},
		{line: pollNow, admin: true}, {line: "GET /" + token, admin: true}, {line: "GET /stats?access_token=" + token, admin: true}, {line: "GET /debug/pprof/" + token, admin: true},
		{line: "POST /publish", body: token}, {line: "POST /publish", body: `{"topic":1,"` + token + `":"` + token + `"}`}, {line: "POST /publish", body: `{"topic":"a","data":` + token + `}`},
		{line: "POST /publish/a", header: []string{"Content-Type: application/json"}, body: token},
	} {
		r.hub = p
		f.try(t, r)
		r.token = f.tokens["narrow"] // with a valid token, the hub also checks the rest of the request
		f.try(t, r)
	}
	for _, name := range []string{
		"Referer", "User-Agent", "Cookie", "X-Api-Key", "Authorization", "Proxy-Authorization", "Content-Length", "Transfer-Encoding", "Content-Type", "Content-Encoding", "Expect", "Trailer", "Upgrade",
		"Idempotency-Key", "Last-Event-ID", "Prefer", "Accept", "X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "Sec-Fetch-Site", token, "Access-Control-Request-Headers",
	} {
		for _, line := range []string{"GET /sse", pollNow, "POST /publish", "OPTIONS /poll", "GET /"} {
			f.try(t, request{hub: p, line: line, header: []string{name + ": " + token}})
			f.try(t, request{hub: p, line: line, header: []string{name + ": Bearer " + token, token}})
		}
	}
	var x *exchange
	require.Eventually(t, func() bool { // the hub may not have detected yet that earlier connections have ended
		x = f.start(t, request{hub: p, line: "GET /ws?subscribe=none", token: f.tokens["master"]})
		return x.status == http.StatusOK
	}, hubtest.Patience, 100*time.Millisecond)
	for _, command := range []string{
		`{"op":"auth","token":"` + token + `"}`, `{"op":"auth","token":{"x":"` + token + `"}}`, `{"op":"` + token + `"}`, `{"` + token + `":1}`, token, `{"op":"auth","token":"` + token, `{"op":"subscribe","topic":"a","cursor":"` + token + `"}`,
	} {
		f.command(t, x, command)
	}
}

// try sends a possibly invalid request, and records the answer if it is a refusal.
func (f *testbed) try(t *testing.T, r request) {
	t.Helper()
	address := r.hub.HTTP
	if r.admin {
		address = r.hub.Admin
	}
	if r.host == "" {
		r.host = address
	}
	x := f.send(t, address, r.text())
	require.NoError(t, x.conn.SetReadDeadline(time.Now().Add(hubtest.Patience)))
	text := make([]byte, 4096)
	n, err := x.reader.Read(text)
	require.NoError(t, err, "%q", r.line)
	if !strings.HasPrefix(string(text[:n]), "HTTP/1.1 2") {
		f.refused(string(text[:n]))
	}
	x.conn.Close()
}

// requireNoLeak searches all output of the hubs for parts of the tokens and secrets that the attacks
// have used.
func (f *testbed) requireNoLeak(t *testing.T) {
	f.requireNoBreach(t)
	said := map[string]string{"an error": strings.Join(f.answers, "\n")}
	for name, p := range f.hubs() {
		f.sendMisplacedTokens(t, p)
		requireCleanLog(p, t)
		said["an error"] = strings.Join(f.answers, "\n")
		for _, page := range []string{"/metrics", "/stats", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2"} {
			said[name+page] = f.adminPage(t, p, page, nil)
		}
		said[name+"'s log"] = p.Log()
		require.Contains(t, p.Log(), `refused`, "refusals are logged at debug level")
		require.NotContains(t, p.Log(), "DATA RACE")
		require.NotContains(t, p.Log(), "panic")
	}
	// The test searches for blocks of 12 characters of each secret. A leak of 23 characters or more
	// contains at least one block.
	const block = 12
	blocks := map[string]string{}
	for _, secret := range f.secrets {
		for i := 0; i+block <= len(secret); i += block {
			blocks[secret[i:i+block]] = secret
		}
	}
	t.Logf("searching for %d tokens and secrets, and for %d parts of them", len(f.secrets), len(blocks))
	for where, text := range said {
		for i := 0; i+block <= len(text); i++ {
			if secret, found := blocks[text[i:i+block]]; found {
				t.Errorf("%s contains %q, a part of %q:\n%s", where, text[i:i+block], secret, text[max(0, i-200):min(len(text), i+200)])
				break
			}
		}
	}
}
