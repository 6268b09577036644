package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/decode"
)

// patience is the timeout of every wait in a test. It expires only if something is wrong.
const patience = 3 * time.Minute

// process is a running `trivium serve` on free ports.
type process struct {
	t                *testing.T
	cmd              *exec.Cmd
	http, udp, admin string
	token            string
	client           *http.Client

	mu     sync.Mutex
	stderr bytes.Buffer
	read   chan struct{} // closed at the end of standard error
}

// serve starts the program and waits until it listens.
func serve(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, read: make(chan struct{}), client: &http.Client{Transport: &http.Transport{}, Timeout: patience}}
	pipe, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	listening := make(chan map[string]string, 1)
	go p.follow(pipe, listening)
	t.Cleanup(func() {
		p.client.CloseIdleConnections()
		_ = cmd.Process.Kill()
		<-p.read
		_ = cmd.Wait()
	})
	select {
	case where := <-listening:
		p.http, p.udp, p.admin = where["http"], where["udp"], where["admin"]
	case <-p.read:
		t.Fatal(p.log())
	case <-time.After(patience):
		t.Fatal("the program does not listen")
	}
	_, token, _ := strings.Cut(p.log(), "access_token=")
	p.token, _, _ = strings.Cut(token, "'") // the token is logged because of --print-token
	return p
}

// anyPorts are the flags of a hub that listens on free ports and logs everything. It sends no
// heartbeats, because they would arrive at random times.
var anyPorts = []string{
	"serve", "--heartbeat", "1h", "--http", "127.0.0.1:0", "--udp", "127.0.0.1:0", "--admin", "127.0.0.1:0",
	"--log-format", "json", "--log-level", "debug", "--print-token",
}

func (p *process) follow(pipe io.Reader, listening chan<- map[string]string) {
	defer close(p.read)
	lines := bufio.NewReader(pipe)
	for {
		line, err := lines.ReadBytes('\n')
		p.mu.Lock()
		p.stderr.Write(line)
		p.mu.Unlock()
		var entry map[string]string
		if json.Unmarshal(line, &entry) == nil && entry["msg"] == "listening" {
			listening <- entry
		}
		if err != nil {
			return
		}
	}
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// signal sends a signal to the process.
func (p *process) signal(s syscall.Signal) { require.NoError(p.t, p.cmd.Process.Signal(s)) }

func (p *process) wait() (code int, took time.Duration) {
	begin := time.Now()
	select {
	case <-p.read:
	case <-time.After(patience):
		p.t.Fatal("the program does not end")
	}
	_ = p.cmd.Wait() // the error contains the exit code
	return p.cmd.ProcessState.ExitCode(), time.Since(begin)
}

// request sends a request with the token and returns the status and the body.
func (p *process) request(method, url, contentType, body string) (int, string) {
	p.t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	require.NoError(p.t, err)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if p.token != "" {
		r.Header.Set("Authorization", "Bearer "+p.token)
	}
	response, err := p.client.Do(r)
	require.NoError(p.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(p.t, err)
	return response.StatusCode, string(text)
}

func (p *process) publish(contentType, body string) string {
	p.t.Helper()
	status, text := p.request(http.MethodPost, "http://"+p.http+"/publish", contentType, body)
	require.Equal(p.t, http.StatusOK, status, text)
	return text
}

func (p *process) datagram(text string) {
	p.t.Helper()
	conn, err := net.Dial("udp", p.udp)
	require.NoError(p.t, err)
	defer conn.Close()
	_, err = conn.Write([]byte(text))
	require.NoError(p.t, err)
}

// stats returns the content of /stats.
func (p *process) stats() (s snapshot) {
	p.t.Helper()
	_, text := p.request(http.MethodGet, "http://"+p.admin+"/stats", "", "")
	require.NoError(p.t, json.Unmarshal([]byte(text), &s))
	return s
}

// sse opens a stream and reads it up to the hello.
func (p *process) sse(query string) *decode.SSEDecoder {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.http)
	require.NoError(p.t, err)
	p.t.Cleanup(func() { conn.Close() })
	require.NoError(p.t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, "GET /sse?"+query+" HTTP/1.1\r\nHost: "+p.http+"\r\nAuthorization: Bearer "+p.token+"\r\n\r\n")
	require.NoError(p.t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(p.t, err)
	require.Equal(p.t, http.StatusOK, response.StatusCode)
	stream := decode.NewSSEDecoder(response.Body)
	opening, err := stream.Next()
	require.NoError(p.t, err)
	require.Equal(p.t, "trivium.open", opening.Type)
	return stream
}

// websocket opens a connection and reads the hello message.
func (p *process) websocket(query string) *websocket.Conn {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	p.t.Cleanup(cancel)
	conn, _, err := websocket.Dial(ctx, "ws://"+p.http+"/ws?"+query, &websocket.DialOptions{
		HTTPClient:   p.client,
		HTTPHeader:   http.Header{"Authorization": {"Bearer " + p.token}},
		Subprotocols: []string{"trivium.v1"},
	})
	require.NoError(p.t, err)
	conn.SetReadLimit(4 << 20)
	p.t.Cleanup(func() { _ = conn.CloseNow() })
	require.Equal(p.t, decode.OpHello, p.message(conn).Op)
	return conn
}

func (p *process) message(conn *websocket.Conn) decode.Message {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, text, err := conn.Read(ctx)
	require.NoError(p.t, err)
	message, err := decode.DecodeMessage(text)
	require.NoError(p.t, err)
	return message
}

// poll returns the answer to one poll.
func (p *process) poll(query string) decode.PollAnswer {
	p.t.Helper()
	status, text := p.request(http.MethodGet, "http://"+p.http+"/poll?"+query, "", "")
	require.Equal(p.t, http.StatusOK, status, text)
	answer, err := decode.DecodePollAnswer([]byte(text))
	require.NoError(p.t, err)
	return answer
}

var built struct {
	once sync.Once
	path string
	err  error
	out  []byte
}

// binary returns a command with the program built as users build it. Tests of memory use it,
// because the race detector of the test binary needs memory itself.
func binary(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	built.once.Do(func() {
		built.path = filepath.Join(binaryDir, "trivium")
		built.out, built.err = exec.Command("go", "build", "-o", built.path, ".").CombinedOutput()
	})
	require.NoError(t, built.err, string(built.out))
	cmd := exec.Command(built.path, args...)
	cmd.Env = []string{"HOME=" + t.TempDir()}
	return cmd
}
