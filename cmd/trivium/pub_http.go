package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/terminal"
	"github.com/trivium-hub/trivium/transports/problems"
)

// published is the hub's answer to a successful publish.
type published struct {
	ID    string `json:"id"`
	Count int    `json:"count"`
}

// problem is the error that a hub returned instead of a result. Line, if set, is the number of the refused line.
type problem struct {
	problems.Problem
	retryAfter string // value of the header Retry-After: seconds or a date; "": the hub sent none
}

// Error returns the message of the hub or of a proxy, with characters escaped that could control a
// terminal or add a line to the output.
func (p *problem) Error() string {
	var b strings.Builder
	if p.Line != nil {
		fmt.Fprintf(&b, "event %d of the input: ", *p.Line)
	}
	fmt.Fprintf(&b, "the hub answered %d %s", p.Status, terminal.Harmless(cmp.Or(p.Title, http.StatusText(p.Status))))
	if p.Detail != "" {
		b.WriteString(": " + terminal.Harmless(p.Detail))
	}
	if p.Parameter != "" {
		fmt.Fprintf(&b, " (parameter %s)", terminal.Harmless(p.Parameter))
	}
	if p.Code == problems.CodeMissingToken {
		b.WriteString("; set TRIVIUM_TOKEN")
	}
	if p.retryAfter != "" {
		b.WriteString("; try again after " + terminal.Harmless(p.retryAfter))
		if strings.Trim(p.retryAfter, "0123456789") == "" {
			b.WriteString(" s")
		}
	}
	return b.String()
}

// pubClient sends HTTP requests to one hub.
type pubClient struct {
	cmd       *PubCmd
	base      *url.URL
	transport *http.Transport
}

func newPubClient(c *PubCmd) (*pubClient, error) {
	base, err := url.Parse(c.URL)
	if err != nil {
		return nil, err
	}
	transport := c.transport()
	transport.DialContext = (&net.Dialer{Timeout: c.Timeout}).DialContext
	transport.TLSHandshakeTimeout = c.Timeout
	transport.ResponseHeaderTimeout = c.Timeout // the timeout starts when the whole request is sent
	return &pubClient{cmd: c, base: base, transport: transport}, nil
}

func (p *pubClient) close() { p.transport.CloseIdleConnections() }

// publish sends data as one event. Without --text it sends no Content-Type, and the hub detects
// JSON.
func (p *pubClient) publish(data string) (published, error) {
	header := http.Header{}
	if p.cmd.Type != "" {
		header.Set("Trivium-Type", p.cmd.Type)
	}
	if p.cmd.Key != "" {
		header.Set("Trivium-Key", p.cmd.Key)
	}
	if p.cmd.Text {
		header.Set("Content-Type", "text/plain; charset=utf-8")
	}
	return p.post(p.base.JoinPath("publish", url.PathEscape(p.cmd.Topic)), header, strings.NewReader(data))
}

// publishStream sends the envelopes in body, which contains one per line. It returns after body has ended.
func (p *pubClient) publishStream(body io.Reader) (published, error) {
	header := http.Header{"Content-Type": {"application/x-ndjson"}}
	return p.post(p.base.JoinPath("publish"), header, body)
}

// post sends a POST request. It calls the transport directly, so that a redirect is reported to the user as an error
// and not followed.
func (p *pubClient) post(to *url.URL, header http.Header, body io.Reader) (published, error) {
	request, err := http.NewRequest(http.MethodPost, to.String(), body)
	if err != nil {
		return published{}, err
	}
	request.Header = header
	if p.cmd.Token != "" {
		header.Set("Authorization", "Bearer "+p.cmd.Token)
	}
	response, err := p.transport.RoundTrip(request)
	if err != nil {
		return published{}, fmt.Errorf("publishing to %s: %w", p.base.Redacted(), err)
	}
	defer func() { _ = response.Body.Close() }() // the body has been read
	answer := io.LimitReader(response.Body, 1<<20)
	if response.StatusCode != http.StatusOK {
		return published{}, readProblem(response, answer)
	}
	var done published
	if err := json.NewDecoder(answer).Decode(&done); err != nil || done.ID == "" {
		return published{}, fmt.Errorf("unexpected answer from %s: not a Trivium hub?", p.base.Redacted())
	}
	done.ID = terminal.Harmless(done.ID)
	return done, nil
}

func readProblem(response *http.Response, body io.Reader) error {
	p := &problem{}
	if kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); kind == problems.ContentType {
		_ = json.NewDecoder(body).Decode(&p.Problem) // without a valid problem, only the status is reported
	}
	p.Status = response.StatusCode
	p.retryAfter = response.Header.Get("Retry-After")
	return p
}

// publishLines publishes each line of in as an event. If in yields no line for the duration pubLinger,
// the current request ends, so that the hub confirms its events; the next line starts another request.
// If publishLines returns an error, its other result describes the requests before the failed one.
func publishLines(in io.Reader, encode func([]byte) []byte, post func(io.Reader) (published, error)) (published, error) {
	lines, stop := make(chan []byte), make(chan struct{})
	defer close(stop)
	ended := make(chan error, 1)
	go func() {
		defer close(lines)
		ended <- feedLines(in, encode, lines, stop)
	}()
	var all published
	for line := range lines {
		done, err := postBatch(line, lines, post)
		if err != nil {
			return all, afterEvents(all.Count, err)
		}
		all.ID, all.Count = done.ID, all.Count+done.Count
	}
	if err := <-ended; err != nil {
		return all, afterEvents(all.Count, err)
	}
	return all, nil
}

// afterEvents adds count, the number of events in earlier requests, to the line number in err. If err has no line
// number, afterEvents returns an error that also names the count.
func afterEvents(count int, err error) error {
	var refused *problem
	if errors.As(err, &refused) && refused.Line != nil {
		*refused.Line += count
		return err
	}
	if count > 0 {
		return fmt.Errorf("after %d events: %w", count, err)
	}
	return err
}

func feedLines(in io.Reader, encode func([]byte) []byte, lines chan<- []byte, stop <-chan struct{}) error {
	for line, err := range pubLines(in) {
		if err != nil {
			return err
		}
		select {
		case lines <- append(encode(line), '\n'):
		case <-stop:
			return nil
		}
	}
	return nil
}

// postBatch sends one request. The body consists of the parameter first and of the lines that arrive
// afterwards, until no line arrives for the duration pubLinger.
func postBatch(first []byte, lines <-chan []byte, post func(io.Reader) (published, error)) (published, error) {
	type result struct {
		published
		error
	}
	reader, writer := io.Pipe()
	answered := make(chan result, 1)
	go func() {
		done, err := post(reader)
		_ = reader.Close() // never fails; a blocked Write then returns, even if post has already returned
		answered <- result{done, err}
	}()
	pause := time.NewTimer(pubLinger)
	defer pause.Stop()
	_, err := writer.Write(first)
	for err == nil {
		select {
		case line, more := <-lines:
			if !more {
				err = io.EOF
				break
			}
			_, err = writer.Write(line)
			pause.Reset(pubLinger)
		case <-pause.C:
			err = io.EOF
		}
	}
	_ = writer.Close() // never fails
	got := <-answered
	return got.published, got.error
}
