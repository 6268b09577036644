package hubtest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/decode"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/stats"
)

// Patience is the timeout of every wait in a test. It is so long that it expires only if the tested code is wrong.
const Patience = 3 * time.Minute

// Process is a running hub.
type Process struct {
	T                *testing.T
	Cmd              *exec.Cmd
	HTTP, UDP, Admin string // addresses
	Token            string // token that is sent with each request; "": none
	Client           *http.Client

	mu        sync.Mutex
	stderr    bytes.Buffer
	listening chan []string // receives the addresses of HTTP, UDP and Admin
	ended     chan struct{} // closed when standard error has been read to its end
}

// Start starts cmd, which must run `trivium serve`, and waits until the hub listens.
func Start(t *testing.T, cmd *exec.Cmd) *Process {
	t.Helper()
	p := Launch(t, cmd)
	select {
	case where := <-p.listening:
		p.HTTP, p.UDP, p.Admin = where[0], where[1], where[2]
	case <-p.ended:
		t.Fatal(p.Log())
	case <-time.After(Patience):
		t.Fatal("the program does not listen")
	}
	_, token, _ := strings.Cut(p.Log(), "access_token=")
	p.Token, _, _ = strings.Cut(token, "'") // printed because of --print-token
	return p
}

// Launch starts cmd, which must run `trivium serve`, and does not wait until the hub listens. At the end of the test, a
// cleanup function kills the process and waits for it.
func Launch(t *testing.T, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{
		T: t, Cmd: cmd, Client: &http.Client{Transport: &http.Transport{}, Timeout: Patience},
		listening: make(chan []string, 1), ended: make(chan struct{}),
	}
	pipe, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	go p.readLog(pipe)
	t.Cleanup(func() {
		p.Client.CloseIdleConnections()
		_ = cmd.Process.Kill()
		<-p.ended
		_ = cmd.Wait()
	})
	return p
}

// AnyPorts are the flags of a hub that listens on free ports and logs at the level debug. The hub sends
// no heartbeats, because they would arrive at random times. Its read and write timeouts are so long
// that they do not expire, unless a test sets shorter ones.
var AnyPorts = []string{
	"serve", "--heartbeat", "1h", "--read-timeout", "10m", "--write-timeout", "10m",
	"--http", "127.0.0.1:0", "--udp", "127.0.0.1:0", "--admin", "127.0.0.1:0",
	"--log-format", "json", "--log-level", "debug", "--print-token",
}

// readLog reads the standard error of the process until its end.
func (p *Process) readLog(pipe io.Reader) {
	defer close(p.ended)
	lines := bufio.NewReader(pipe)
	for {
		line, err := lines.ReadBytes('\n')
		p.mu.Lock()
		p.stderr.Write(line)
		p.mu.Unlock()
		if where := listeningAt(line); where != nil {
			p.listening <- where
		}
		if err != nil {
			return
		}
	}
}

var listeningText = regexp.MustCompile(`msg=listening http=(\S+)(?: udp=(\S+))?(?: admin=(\S+))?`)

// listeningAt returns the addresses of the HTTP, UDP and admin listeners from the log line that the hub
// writes when it listens. For any other line, it returns nil.
func listeningAt(line []byte) []string {
	var entry map[string]string
	if json.Unmarshal(line, &entry) == nil && entry["msg"] == "listening" {
		return []string{entry["http"], entry["udp"], entry["admin"]}
	}
	if match := listeningText.FindStringSubmatch(string(line)); match != nil {
		return match[1:]
	}
	return nil
}

// Log returns the log so far.
func (p *Process) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// HasLogged waits until the log contains text. It must wait, because the log is read from a pipe: a
// line may arrive later than the answer to the request that caused it.
func (p *Process) HasLogged(text string) {
	p.T.Helper()
	require.Eventually(p.T, func() bool { return strings.Contains(p.Log(), text) }, Patience, 10*time.Millisecond, "want %s", text)
}

// Signal sends a signal to the process.
func (p *Process) Signal(s syscall.Signal) { require.NoError(p.T, p.Cmd.Process.Signal(s)) }

// Wait waits until the process has exited. It returns the exit code, and how long it has waited.
func (p *Process) Wait() (code int, took time.Duration) {
	begin := time.Now()
	select {
	case <-p.ended:
	case <-time.After(Patience):
		p.T.Fatal("the process does not exit")
	}
	_ = p.Cmd.Wait() // the error contains the exit code
	return p.Cmd.ProcessState.ExitCode(), time.Since(begin)
}

// Request sends a request with the token and returns the status and the body.
func (p *Process) Request(method, url, contentType, body string) (int, string) {
	p.T.Helper()
	return p.request(method, url, contentType, body, nil)
}

func (p *Process) request(method, url, contentType, body string, header http.Header) (int, string) {
	p.T.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	require.NoError(p.T, err)
	maps.Copy(r.Header, header)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if p.Token != "" {
		r.Header.Set("Authorization", "Bearer "+p.Token)
	}
	response, err := p.Client.Do(r)
	require.NoError(p.T, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(p.T, err)
	return response.StatusCode, string(text)
}

// Publish publishes over HTTP and returns the answer.
func (p *Process) Publish(contentType, body string) string {
	p.T.Helper()
	return p.PublishAt("http://"+p.HTTP+"/publish", contentType, body)
}

// PublishAt is like Publish, but for any URL of the hub. If the engine does not answer in time, so that
// the hub answers with status 503, PublishAt publishes again with the same idempotency key, as clients
// do.
func (p *Process) PublishAt(url, contentType, body string) string {
	p.T.Helper()
	header, begin := http.Header{}, time.Now()
	if slices.Contains(p.Cmd.Args, "--engine") && contentType != "application/x-ndjson" { // NDJSON cannot have a key
		header.Set("Idempotency-Key", rand.Text())
	}
	status, text := p.request(http.MethodPost, url, contentType, body, header)
	for status == http.StatusServiceUnavailable && len(header) > 0 && time.Since(begin) < Patience {
		time.Sleep(100 * time.Millisecond)
		status, text = p.request(http.MethodPost, url, contentType, body, header)
	}
	require.Equal(p.T, http.StatusOK, status, text)
	return text
}

// Datagram sends a datagram.
func (p *Process) Datagram(text string) {
	p.T.Helper()
	conn, err := net.Dial("udp", p.UDP)
	require.NoError(p.T, err)
	defer conn.Close()
	_, err = conn.Write([]byte(text))
	require.NoError(p.T, err)
}

// Stats returns the content of /stats.
func (p *Process) Stats() (s stats.Snapshot) {
	p.T.Helper()
	_, text := p.Request(http.MethodGet, "http://"+p.Admin+"/stats", "", "")
	require.NoError(p.T, json.Unmarshal([]byte(text), &s))
	return s
}

// SSE opens a stream and reads its opening message.
func (p *Process) SSE(query string) *decode.SSEDecoder {
	p.T.Helper()
	conn, err := net.Dial("tcp", p.HTTP)
	require.NoError(p.T, err)
	p.T.Cleanup(func() { conn.Close() })
	require.NoError(p.T, conn.SetDeadline(time.Now().Add(Patience)))
	_, err = io.WriteString(conn, "GET /sse?"+query+" HTTP/1.1\r\nHost: "+p.HTTP+"\r\nAuthorization: Bearer "+p.Token+"\r\n\r\n")
	require.NoError(p.T, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(p.T, err)
	require.Equal(p.T, http.StatusOK, response.StatusCode)
	stream := decode.NewSSEDecoder(response.Body)
	opening, err := stream.Next()
	require.NoError(p.T, err)
	require.Equal(p.T, "trivium.open", opening.Type)
	return stream
}

// WebSocket opens a connection and reads the hello message.
func (p *Process) WebSocket(query string) *websocket.Conn {
	p.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	p.T.Cleanup(cancel)
	conn, _, err := websocket.Dial(ctx, "ws://"+p.HTTP+"/ws?"+query, &websocket.DialOptions{
		HTTPClient:   p.Client,
		HTTPHeader:   http.Header{"Authorization": {"Bearer " + p.Token}},
		Subprotocols: []string{"trivium.v1"},
	})
	require.NoError(p.T, err)
	conn.SetReadLimit(4 << 20)
	p.T.Cleanup(func() { _ = conn.CloseNow() })
	require.Equal(p.T, decode.OpHello, p.Message(conn).Op)
	return conn
}

// Message reads the next message from a WebSocket.
func (p *Process) Message(conn *websocket.Conn) decode.Message {
	p.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	_, text, err := conn.Read(ctx)
	require.NoError(p.T, err)
	message, err := decode.DecodeMessage(text)
	require.NoError(p.T, err)
	return message
}

// Poll returns the answer to a poll. If the hub answers with status 503, because the engine does not answer in time, it
// polls again, as clients do.
func (p *Process) Poll(query string) decode.PollAnswer {
	p.T.Helper()
	url, begin := "http://"+p.HTTP+"/poll?"+query, time.Now()
	status, text := p.Request(http.MethodGet, url, "", "")
	for status == http.StatusServiceUnavailable && time.Since(begin) < Patience {
		time.Sleep(100 * time.Millisecond)
		status, text = p.Request(http.MethodGet, url, "", "")
	}
	require.Equal(p.T, http.StatusOK, status, text)
	answer, err := decode.DecodePollAnswer([]byte(text))
	require.NoError(p.T, err)
	return answer
}
