package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trivium-hub/trivium/hub"
)

// off, or no text at all, turns a listener off.
const off = "off"

// Upper bounds of what can be configured. They catch a unit too many, not a large machine.
const (
	maxEventBytes  = Size(256 << 20)
	maxHeaderBytes = Size(16 << 20)
	maxRetainBytes = Size(1 << 40)
	maxTopics      = 4096
	maxCount       = 1 << 30 // events retained, topics remembered
	maxDuration    = 24 * time.Hour
	maxRetainAge   = 366 * 24 * time.Hour
)

// ServeConfig is every setting of `trivium serve`: one field is a flag, the environment variable
// TRIVIUM_<NAME>, a key of the YAML file and a line of the help. The first that is set of flag,
// environment, file and default counts. Once checked, listeners that are off are "".
//
// In the limits MaxEventBytes, MaxTopics, MaxHeaderBytes and ReadTimeout 0 means no limit
// (PROTOCOL section 7), which net/http and the Config structs of the rooms read as their default.
type ServeConfig struct {
	Config string `placeholder:"FILE" help:"YAML file with settings, its keys named as these flags without the dashes."`
	Check  bool   `help:"Read all settings, print what is wrong and where, and end without listening: exit code 0 if all is good, else 2."`

	HTTP  string   `name:"http" default:"127.0.0.1:3000" help:"Address to serve HTTP on, host:port."`
	UDP   string   `name:"udp" default:"127.0.0.1:3000" help:"Address to take datagrams on, host:port; off for none."`
	Admin string   `default:"127.0.0.1:3002" help:"Address to serve metrics and profiles on, host:port; off for none."`
	Auth  string   `default:"token" help:"Who may connect: token (a random one is made at start and printed), or none (everybody)."`
	Host  []string `placeholder:"NAME" help:"Further Host name, without a port, that is taken under --auth none and on the admin listener, beside loopback and the addresses listened on. Repeatable."`

	MaxEventBytes   Size          `default:"1MiB" help:"Largest data of an event, in bytes. 0 is no limit."`
	MaxMessageBytes Size          `default:"64KiB" help:"Largest message of a WebSocket client, in bytes, after decompression."`
	MaxTopics       int           `default:"64" help:"Most filters of a subscription. 0 is no limit."`
	MaxHeaderBytes  Size          `default:"16KiB" help:"Largest header of a request, in bytes. 0 is no limit."`
	ReadTimeout     time.Duration `default:"10s" help:"Longest that a request's header or body may take. 0 is no limit."`
	WriteTimeout    time.Duration `default:"10s" help:"Longest that a write may make no progress before its connection is closed."`
	Heartbeat       time.Duration `default:"15s" help:"Time between two heartbeats on a connection."`
	Drain           time.Duration `default:"10s" help:"Time over which subscribers are sent away at the end. 0 is at once."`
	Slow            string        `default:"gap" help:"What befalls a subscriber that retention overtakes: gap (it is told and goes on) or disconnect."`

	RetainEvents int           `default:"65536" help:"Most events retained."`
	RetainBytes  Size          `default:"64MiB" help:"Most bytes that retained events take."`
	RetainAge    time.Duration `default:"10m" help:"Longest that an event is retained."`
	GapTopics    int           `default:"65536" help:"Most topics of which the hub remembers what it has let go, to tell gaps exactly."`

	UDPFormat     string `name:"udp-format" default:"auto" help:"What a datagram holds: auto (envelopes, or data in JSON), json (data in JSON) or raw (one event, not looked into)."`
	UDPTopic      string `name:"udp-topic" default:"events" help:"Topic of datagrams that name none."`
	UDPTopicField string `name:"udp-topic-field" placeholder:"NAME" help:"Member of the JSON data that names the topic; dots lead into nested members."`
	UDPTypeField  string `name:"udp-type-field" placeholder:"NAME" help:"Member of the JSON data that names the type; dots lead into nested members."`

	WSCompression bool       `name:"ws-compression" help:"Offer permessage-deflate to WebSocket clients."`
	LogLevel      slog.Level `default:"info" help:"Least level that is logged, on standard error: debug, info, warn or error."`
	LogFormat     string     `placeholder:"FORMAT" help:"Form of the log: text or json. Default: text on a terminal, else json."`
}

// check says all that is wrong with the settings, flag by flag, and turns spellings of one thing
// into one.
func (c *ServeConfig) check() []fault {
	for _, address := range []*string{&c.UDP, &c.Admin} {
		if *address == off {
			*address = ""
		}
	}
	for i, host := range c.Host {
		c.Host[i] = strings.TrimSpace(host)
	}
	return slices.Concat(c.checkListeners(), c.checkLimits(), c.checkSources())
}

func (c *ServeConfig) checkListeners() []fault {
	faults := slices.Concat(
		faulty("http", checkAddress(c.HTTP)),
		faulty("auth", oneOf(c.Auth, "token", "none")),
	)
	if c.UDP != "" {
		faults = append(faults, faulty("udp", checkAddress(c.UDP))...)
	}
	if c.Admin != "" {
		faults = append(faults, faulty("admin", cmp.Or(checkAddress(c.Admin), c.checkAdminApart()))...)
	}
	for _, host := range c.Host {
		faults = append(faults, faulty("host", checkHost(host))...)
	}
	return faults
}

// checkAdminApart: what is for the operator alone must not be found beside what is for all. Port
// 0 stands for a free one, another each time.
func (c *ServeConfig) checkAdminApart() string {
	if c.Admin == c.HTTP && !strings.HasSuffix(c.Admin, ":0") {
		return fmt.Sprintf("want another address than --http, got %q for both", c.Admin)
	}
	return ""
}

func (c *ServeConfig) checkLimits() []fault {
	return slices.Concat(
		faulty("max-event-bytes", between(c.MaxEventBytes, 0, maxEventBytes)),
		faulty("max-message-bytes", between(c.MaxMessageBytes, 1, maxEventBytes)),
		faulty("max-topics", between(c.MaxTopics, 0, maxTopics)),
		faulty("max-header-bytes", between(c.MaxHeaderBytes, 0, maxHeaderBytes)),
		faulty("read-timeout", between(c.ReadTimeout, 0, maxDuration)),
		faulty("write-timeout", between(c.WriteTimeout, time.Millisecond, maxDuration)),
		faulty("heartbeat", between(c.Heartbeat, time.Millisecond, maxDuration)),
		faulty("drain", between(c.Drain, 0, maxDuration)),
		faulty("slow", oneOf(c.Slow, "gap", "disconnect")),
		faulty("retain-events", between(c.RetainEvents, 1, maxCount)),
		faulty("retain-bytes", between(c.RetainBytes, 1, maxRetainBytes)),
		faulty("retain-age", between(c.RetainAge, time.Millisecond, maxRetainAge)),
		faulty("gap-topics", between(c.GapTopics, 1, maxCount)),
	)
}

func (c *ServeConfig) checkSources() []fault {
	faults := faulty("udp-format", oneOf(c.UDPFormat, "auto", "json", "raw"))
	var invalid *hub.InvalidError
	if errors.As(hub.ValidateTopic(c.UDPTopic), &invalid) {
		faults = append(faults, faulty("udp-topic", fmt.Sprintf("%s, got %q", invalid.Detail, c.UDPTopic))...)
	}
	faults = append(faults, faulty("udp-topic-field", checkField(c.UDPTopicField))...)
	faults = append(faults, faulty("udp-type-field", checkField(c.UDPTypeField))...)
	if c.LogFormat != "" {
		faults = append(faults, faulty("log-format", oneOf(c.LogFormat, "text", "json"))...)
	}
	return faults
}

// newLogger makes the program's logger, of the form and least level configured.
func (c *ServeConfig) newLogger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "text" || c.LogFormat == "" && isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

func between[T interface{ ~int | ~int64 }](got, least, most T) string {
	if got < least || got > most {
		return fmt.Sprintf("want %v to %v, got %v", least, most, got)
	}
	return ""
}

func oneOf(got string, names ...string) string {
	if slices.Contains(names, got) {
		return ""
	}
	return fmt.Sprintf("want %s, got %q", strings.Join(names, " or "), got)
}

func checkAddress(s string) string {
	host, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil || host != "" && checkHost(host) != "" {
		return fmt.Sprintf("want host:port with a port of 0 to 65535, such as 127.0.0.1:3000 or [::1]:3000, got %q", s)
	}
	return ""
}

// checkHost takes an IP address or a name of the characters that RFC 3986 leaves to one, less its
// percent-encoding.
func checkHost(s string) string {
	if _, err := netip.ParseAddr(s); err == nil {
		return ""
	}
	odd := func(r rune) bool {
		return r != '-' && r != '.' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}
	if s == "" || strings.ContainsFunc(s, odd) {
		return fmt.Sprintf("want a host name or address without scheme or port, such as hub.example.org, got %q", s)
	}
	return ""
}

// checkField takes a dotted path of member names, or none.
func checkField(s string) string {
	if s != "" && slices.Contains(strings.Split(s, "."), "") {
		return fmt.Sprintf("want member names separated by single dots, such as meta.topic, got %q", s)
	}
	return ""
}
