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

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/wire"
)

const (
	// pubLinger is how long a request stays open for the next line: shorter than any hub's
	// patience with a line (--read-timeout), so that a slow source is no fault.
	pubLinger = time.Second
	// pubMaxLine is the longest line taken from standard input, in bytes. What an event may
	// hold is for the hub to say.
	pubMaxLine = 64 << 20
)

// PubCmd publishes: one event from the command line, or one for each line of standard input.
type PubCmd struct {
	URL           string        `name:"url" default:"http://127.0.0.1:3000" env:"TRIVIUM_URL" help:"The hub's URL, http or https."`
	Token         string        `env:"TRIVIUM_TOKEN" help:"Token that may publish. The variable is safer: others can see a command line."`
	Type          string        `help:"Type of the events."`
	Key           string        `help:"Key of the events: what they are about, for conflation."`
	UDP           string        `name:"udp" placeholder:"HOST:PORT" help:"Send datagrams there instead; nothing ever confirms them."`
	UDPSecretFile string        `name:"udp-secret-file" env:"TRIVIUM_UDP_SECRET_FILE" placeholder:"FILE" help:"File with the secret by which the hub of --udp takes datagrams; white space at its end is no part of it."`
	Timeout       time.Duration `default:"10s" help:"Longest to wait for a connection, and for an answer once all is sent."`
	Text          bool          `help:"The data is text, even what would be JSON."`
	Topic         string        `arg:"" help:"Topic to publish on."`
	Data          *string       `arg:"" optional:"" help:"Data of the one event: JSON if it is that, else text. Without it, or with -, each line of standard input that is not blank is an event."`

	secret []byte // of UDPSecretFile, once checked; none: datagrams are not signed
}

// Help is what the flags leave open.
func (PubCmd) Help() string {
	return "Prints the id of the event, or how many there were and the last one's id. " +
		"Put -- before data that begins with a hyphen."
}

func checkHubURL(text string) []fault {
	base, err := url.Parse(text)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return faulty("url", fmt.Sprintf("want a URL such as http://127.0.0.1:3000, got %q", text))
	}
	return nil
}

// trimmed removes the white space around settings that stand in variables and files of secrets, which
// often end with a line break.
func trimmed(settings ...*string) {
	for _, setting := range settings {
		*setting = strings.TrimSpace(*setting)
	}
}

func (c *PubCmd) check() []fault {
	trimmed(&c.URL, &c.Token)
	faults := faulty("timeout", between(c.Timeout, time.Millisecond, maxDuration))
	faults = append(faults, checkHubURL(c.URL)...)
	if c.UDP != "" {
		faults = append(faults, faulty("udp", checkAddress(c.UDP))...)
		if c.UDPSecretFile != "" {
			var err error
			if c.secret, err = readSecret(c.UDPSecretFile); err != nil {
				faults = append(faults, faulty("udp-secret-file", err.Error())...)
			}
		}
	}
	event := hub.Event{Topic: c.Topic, Type: c.Type, Key: c.Key}
	var invalid *hub.InvalidError
	if errors.As(event.Validate(math.MaxInt), &invalid) {
		settings := map[string]string{"topic": "<topic>", "type": "--type", "key": "--key"}
		faults = append(faults, fault{settings[invalid.Parameter], invalid.Detail})
	}
	return faults
}

// Run publishes and prints what was published. What the hub refuses is a *problem. Reading
// standard input, it leaves a goroutine waiting in Read when the hub refuses a line; the process
// ends then.
func (c *PubCmd) Run(con *console) error {
	one := c.Data != nil && *c.Data != "-"
	switch {
	case c.Data == nil && isTerminal(con.In):
		return &usageError{lines: []string{"<data> is missing; - reads it from the terminal, an event a line"}}
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
	_, err = fmt.Fprintf(con.Out, "%d events sent, none confirmed\n", count)
	return err
}

// udpSender sends datagrams to one hub, signed if there is a secret.
type udpSender struct {
	conn   net.Conn
	secret []byte
	last   int64 // Unix nanoseconds; the time of the newest signature
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
		// No two have one time, or the second of two equal events would be a replay.
		s.last = max(s.last+1, time.Now().UnixNano())
		payload = wire.SignDatagram(nil, s.secret, time.Unix(0, s.last), payload)
	}
	_, err := s.conn.Write(payload)
	return err
}

func (s *udpSender) close() { _ = s.conn.Close() } // a datagram sent is sent

// pubLines gives the lines of a stream that are not blank, without their ends. The bytes are good
// until the next one.
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

// envelope spells an event as docs/protocol.md#events has it of a publisher, in one line if the data
// is. JSON is passed on as it stands.
func (c *PubCmd) envelope(data []byte) []byte {
	e := &hub.Event{Topic: c.Topic, Type: c.Type, Key: c.Key, Data: data}
	switch {
	case !utf8.Valid(data):
		e.Encoding = hub.Binary
	case c.Text || !json.Valid(data):
		e.Encoding = hub.Text
	}
	return wire.AppendEnvelope(nil, e)
}
