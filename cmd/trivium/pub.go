package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/terminal"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/client"
	"github.com/trivium-hub/trivium/transports/udp"
)

const (
	// pubLinger is the time for which a request waits for another line of standard input. It is shorter
	// than a hub's default --read-timeout, so that the hub does not time out if the lines arrive slowly.
	pubLinger = time.Second
	// pubMaxLine is the maximum length of a line of standard input, in bytes. It is far above the
	// maximum size of an event. The hub checks that size.
	pubMaxLine = 64 << 20
)

// PubCmd publishes one event from the command line, or one event per line of standard input.
type PubCmd struct {
	URL   string `name:"url" default:"http://127.0.0.1:3000" env:"TRIVIUM_URL" help:"The hub's URL, http or https."`
	Token string `env:"TRIVIUM_TOKEN" help:"Token that may publish. Prefer the variable, because other users can see the command line."`
	CAConfig
	Type          string        `help:"Type of the events."`
	Key           string        `help:"Key of the events, for conflation: subscribers that fall behind may receive only the newest event with the same key."`
	UDP           string        `name:"udp" placeholder:"HOST:PORT" help:"Send UDP datagrams to this address instead of HTTP requests. The hub does not confirm datagrams."`
	UDPSecretFile string        `name:"udp-secret-file" env:"TRIVIUM_UDP_SECRET_FILE" placeholder:"FILE" help:"File with the secret to sign datagrams of --udp with. White space at its end is ignored."`
	Timeout       time.Duration `default:"10s" help:"Maximum time to wait for a connection, and for the answer after everything is sent."`
	Text          bool          `help:"Send the data as text, even if it is valid JSON."`
	Topic         string        `arg:"" help:"Topic to publish on."`
	Data          *string       `arg:"" optional:"" help:"Data of one event, sent as JSON if it is valid JSON and as text otherwise. Without it, or with -, each non-blank line of standard input is an event."`

	secret []byte // content of UDPSecretFile, set by check; empty: datagrams are not signed
}

// Help explains the output.
func (PubCmd) Help() string {
	return "Prints the ID of the event, or the number of events and the ID of the last event. " +
		"Put -- before data that starts with a hyphen."
}

func checkHubURL(text string) []settings.Fault {
	base, err := url.Parse(text)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return settings.Faults("url", fmt.Sprintf("want a URL such as http://127.0.0.1:3000, got %q", text))
	}
	return nil
}

// trimSpace removes surrounding white space from settings. Values from variables and files often end with a line
// break.
func trimSpace(settings ...*string) {
	for _, setting := range settings {
		*setting = strings.TrimSpace(*setting)
	}
}

func (c *PubCmd) check() []settings.Fault {
	trimSpace(&c.URL, &c.Token)
	faults := settings.Faults("timeout", settings.Between(c.Timeout, time.Millisecond, settings.MaxDuration))
	faults = append(faults, checkHubURL(c.URL)...)
	faults = append(faults, c.checkCA()...)
	if c.UDP != "" {
		faults = append(faults, settings.Faults("udp", settings.CheckAddress(c.UDP))...)
		if c.UDPSecretFile != "" {
			var err error
			if c.secret, err = settings.ReadSecret(c.UDPSecretFile); err != nil {
				faults = append(faults, settings.Faults("udp-secret-file", err.Error())...)
			}
		}
	}
	event := hub.Event{Topic: c.Topic, Type: c.Type, Key: c.Key}
	var invalid *hub.InvalidError
	if errors.As(event.Validate(math.MaxInt), &invalid) {
		names := map[string]string{"topic": "<topic>", "type": "--type", "key": "--key"}
		faults = append(faults, settings.Fault{Setting: names[invalid.Parameter], Detail: invalid.Detail})
	}
	return faults
}

// Run publishes the events and prints the result. If the hub refuses an event, the error is a *problem.
// If that event is a line of standard input, the goroutine that reads standard input may stay blocked in
// Read until the process exits, which happens directly after Run returns.
func (c *PubCmd) Run(con *console) error {
	one := c.Data != nil && *c.Data != "-"
	switch {
	case c.Data == nil && terminal.Attached(con.In):
		return &settings.UsageError{Lines: []string{"missing <data>; use - to read events from the terminal, one per line"}}
	case c.UDP != "" && one:
		return c.sendOne(*c.Data)
	case c.UDP != "":
		return c.sendLines(con)
	}
	client, err := newPubClient(c)
	if err != nil {
		return err
	}
	defer client.close()
	if one {
		done, err := client.publish(*c.Data)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(con.Out, done.ID)
		return err
	}
	done, err := publishLines(con.In, c.envelope, client.publishStream)
	if err != nil {
		return err
	}
	if done.Count == 0 {
		_, err = fmt.Fprintln(con.Out, "0 events")
	} else {
		_, err = fmt.Fprintf(con.Out, "%d events, last id %s\n", done.Count, done.ID)
	}
	return err
}

func (c *PubCmd) sendOne(data string) error {
	sender, err := c.dialUDP()
	if err != nil {
		return err
	}
	defer sender.close()
	return sender.send(c.envelope([]byte(data)))
}

func (c *PubCmd) sendLines(con *console) error {
	sender, err := c.dialUDP()
	if err != nil {
		return err
	}
	defer sender.close()
	count := 0
	for line, err := range pubLines(con.In) {
		if err == nil {
			err = sender.send(c.envelope(line))
		}
		if err != nil {
			return fmt.Errorf("after %d events: %w", count, err)
		}
		count++
	}
	_, err = fmt.Fprintf(con.Out, "%d events sent by UDP, without confirmation\n", count)
	return err
}

// udpSender sends datagrams to one hub. It signs them if secret is not empty.
type udpSender struct {
	conn   net.Conn
	secret []byte
	last   int64 // time of the newest signature in Unix nanoseconds
}

func (c *PubCmd) dialUDP() (*udpSender, error) {
	conn, err := net.DialTimeout("udp", c.UDP, c.Timeout)
	if err != nil {
		return nil, err
	}
	return &udpSender{conn: conn, secret: c.secret}, nil
}

func (s *udpSender) send(payload []byte) error {
	if len(s.secret) > 0 {
		// Each signature is made for a different time. Otherwise the hub would drop the second of two
		// equal events as a replayed datagram.
		s.last = max(s.last+1, time.Now().UnixNano())
		payload = udp.Sign(nil, s.secret, time.Unix(0, s.last), payload)
	}
	_, err := s.conn.Write(payload)
	return err
}

func (s *udpSender) close() { _ = s.conn.Close() } // an error of Close does not affect datagrams that were already sent

// pubLines iterates over the non-blank lines of a stream, without line ends. A yielded line is valid until the next
// iteration.
func pubLines(in io.Reader) func(yield func([]byte, error) bool) {
	return func(yield func([]byte, error) bool) {
		scanner := bufio.NewScanner(in)
		scanner.Buffer(nil, pubMaxLine)
		for scanner.Scan() {
			if len(bytes.TrimSpace(scanner.Bytes())) > 0 && !yield(scanner.Bytes(), nil) {
				return
			}
		}
		if err := scanner.Err(); err != nil {
			yield(nil, fmt.Errorf("reading standard input: %w", err))
		}
	}
}

// envelope encodes an event as an envelope for publishing (docs/protocol.md#events). If the data
// contains no line break, neither does the envelope. JSON data is copied unchanged.
func (c *PubCmd) envelope(data []byte) []byte {
	e := &hub.Event{Topic: c.Topic, Type: c.Type, Key: c.Key, Data: data}
	switch {
	case !utf8.Valid(data):
		e.Encoding = hub.Binary
	case c.Text || !json.Valid(data):
		e.Encoding = hub.Text
	}
	return client.AppendEnvelope(nil, e)
}
