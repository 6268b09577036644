//go:build !js

package clienttest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// peers are the HTTP handlers to which platforms under test connect. A request to a handler may
// contain a name (?name=). With this name, the test receives reports of the handler from /peer/wait
// and sends commands to it with /peer/tell.
type peers struct {
	routes  http.ServeMux
	stopped context.Context
	running sync.WaitGroup

	mu   sync.Mutex
	news map[string]chan string
}

func newPeers(stopped context.Context) *peers {
	p := &peers{stopped: stopped, news: map[string]chan string{}}
	p.routes.HandleFunc("/peer/tell", func(_ http.ResponseWriter, r *http.Request) { p.tell(r.FormValue("name"), "") })
	p.routes.HandleFunc("/peer/wait", func(w http.ResponseWriter, r *http.Request) {
		answer(w, map[string]string{"news": p.wait(r.Context(), r.FormValue("name"))}, nil)
	})
	p.routes.HandleFunc("/peer/echo", p.echo)
	p.routes.HandleFunc("/peer/bytes", p.bytes)
	p.routes.HandleFunc("/peer/hang", p.hang)
	p.routes.HandleFunc("/peer/stream", p.stream)
	p.routes.HandleFunc("/peer/source", p.source)
	p.routes.HandleFunc("/peer/ws", p.socket)
	p.routes.HandleFunc("/peer/ws/403", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Why", "because")
		http.Error(w, "no sockets", http.StatusForbidden)
	})
	p.routes.HandleFunc("/peer/ws/silent", p.silent)
	return p
}

func (p *peers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.running.Add(1)
	defer p.running.Done()
	p.routes.ServeHTTP(w, r)
}

// close waits until all handlers have returned. The caller must first cancel p.stopped.
func (p *peers) close() { p.running.Wait() }

func (p *peers) channel(name string) chan string {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.news[name]
	if c == nil {
		c = make(chan string, 16)
		p.news[name] = c
	}
	return c
}

func (p *peers) tell(name, news string) { p.channel(name) <- news }

// wait returns the next report or command that was sent with the given name. If none arrives in time,
// wait returns "timeout".
func (p *peers) wait(ctx context.Context, name string) string {
	select {
	case news := <-p.channel(name):
		return news
	case <-ctx.Done():
	case <-p.stopped.Done():
	case <-time.After(patience):
	}
	return "timeout"
}

// echo answers with the request's body.
func (p *peers) echo(w http.ResponseWriter, r *http.Request) {
	status, _ := strconv.Atoi(r.FormValue("status"))
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("X-Method", r.Method)
	w.Header().Set("X-Sent", r.Header.Get("X-Sent"))
	w.Header().Set("X-Length", strconv.Itoa(len(body)))
	w.Header().Set("Location", "/peer/nowhere")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// bytes sends n bytes; byte i is i mod 251.
func (p *peers) bytes(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.FormValue("n"))
	_, _ = w.Write(pattern(n))
}

// hang reports the request and never answers. It reports again when the client has closed the
// connection.
func (p *peers) hang(_ http.ResponseWriter, r *http.Request) {
	name := r.FormValue("name")
	p.tell(name, "asked")
	select {
	case <-r.Context().Done():
	case <-p.stopped.Done():
	}
	p.tell(name, "left")
}

// stream sends "one", and "two" on command. It reports when the client has closed the connection.
func (p *peers) stream(w http.ResponseWriter, r *http.Request) {
	name := r.FormValue("name")
	_, _ = io.WriteString(w, "one")
	_ = http.NewResponseController(w).Flush()
	p.wait(r.Context(), name+"-go")
	_, _ = io.WriteString(w, "two")
	_ = http.NewResponseController(w).Flush()
	select {
	case <-r.Context().Done():
	case <-p.stopped.Done():
	}
	p.tell(name, "left")
}

// source sends an event stream that ends after two events. When the client resumes after them, it
// sends another stream. Then it refuses the client.
func (p *peers) source(w http.ResponseWriter, r *http.Request) {
	switch r.Header.Get("Last-Event-ID") {
	case "":
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "retry: 10\n\nevent: trivium.open\nid: a-1\ndata:\n\nid: a-2\ndata: é\ndata: 2\n\n")
	case "a-2":
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "event: trivium.open\nid: a-3\ndata:\n\n")
	default:
		w.WriteHeader(http.StatusForbidden)
	}
}

// socket reports the offered subprotocols and selects trivium.v1. It executes three commands: "send
// N" sends N messages, "close CODE REASON" closes the WebSocket, and "drop" closes it without a
// close frame. It sends any other message back.
func (p *peers) socket(w http.ResponseWriter, r *http.Request) {
	name := r.FormValue("name")
	under := &hijacked{ResponseWriter: w}
	ws, err := websocket.Accept(under, r, &websocket.AcceptOptions{Subprotocols: []string{"trivium.v1"}, InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer ws.CloseNow()
	ws.SetReadLimit(-1)
	ctx, cancel := context.WithCancel(p.stopped)
	defer cancel()
	write := func(text string) { _ = ws.Write(ctx, websocket.MessageText, []byte(text)) }
	write(strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), ", "))
	for {
		_, message, err := ws.Read(ctx)
		if err != nil {
			var end websocket.CloseError
			if errors.As(err, &end) {
				p.tell(name, fmt.Sprintf("%d %s", end.Code, end.Reason))
			} else {
				p.tell(name, "lost")
			}
			return
		}
		verb, rest, _ := strings.Cut(string(message), " ")
		switch verb {
		case "send":
			n, _ := strconv.Atoi(rest)
			for i := range n {
				write(strconv.Itoa(i))
			}
		case "close":
			code, reason, _ := strings.Cut(rest, " ")
			n, _ := strconv.Atoi(code)
			if under.goodbye(n, reason) {
				p.tell(name, "closed")
			}
			return
		case "drop":
			return
		default:
			write(string(message))
		}
	}
}

// hijacked keeps the raw connection of a response.
type hijacked struct {
	http.ResponseWriter
	conn   net.Conn
	reader *bufio.Reader // the WebSocket library also reads from it
}

func (h *hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err == nil {
		h.conn, h.reader = conn, buffered.Reader
	}
	return conn, buffered, err
}

// goodbye sends a close frame, and waits without a time limit for the peer's close frame. The
// library's Close waits only 5 s, which is too short for a busy page.
func (h *hijacked) goodbye(code int, reason string) bool {
	const finClose, length, most = 0x88, 0x7f, 125 // RFC 6455, section 5
	said := append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)
	if len(said) > most {
		return false
	}
	if _, err := h.conn.Write(append([]byte{finClose, byte(len(said))}, said...)); err != nil {
		return false
	}
	header := make([]byte, 2+4) // two bytes, and the mask
	if _, err := io.ReadFull(h.reader, header); err != nil || header[0] != finClose {
		return false
	}
	payload, mask := make([]byte, header[1]&length), header[2:]
	if _, err := io.ReadFull(h.reader, payload); err != nil {
		return false
	}
	for i := range payload {
		payload[i] ^= mask[i%len(mask)]
	}
	return bytes.HasPrefix(said, payload) && len(payload) >= 2 // Node.js answers with only the code
}

// silent completes the handshake, and then neither reads nor writes.
func (p *peers) silent(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer ws.CloseNow()
	<-p.stopped.Done()
}
