package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/udp"
	"github.com/trivium-hub/trivium/transports/wire"
)

// off, or no text at all, turns a listener off.
const off = "off"

// Upper bounds of what can be configured. They catch a unit too many, not a large machine.
const (
	maxEventBytes  = Size(256 << 20)
	maxHeaderBytes = Size(16 << 20)
	maxRetainBytes = Size(1 << 40)
	maxTopics      = 4096
	maxFilterBytes = 1 << 30
	maxCount       = 1 << 30 // events retained, topics remembered
	maxDuration    = 24 * time.Hour
	maxRetainAge   = 366 * 24 * time.Hour
)

// ServeConfig is every setting of `trivium serve`: one field is a flag, the environment variable
// TRIVIUM_<NAME>, a key of the YAML file and a line of the help. The first that is set of flag,
// environment, file and default counts. Once checked, listeners that are off are "".
type ServeConfig struct {
	Config string `placeholder:"FILE" help:"YAML file with settings, its keys named as these flags without the dashes."`
	Check  bool   `help:"Read all settings, print what is wrong and where, and end without listening: exit code 0 if all is good, else 2."`

	HTTP  string   `name:"http" default:"127.0.0.1:3000" help:"Address to serve HTTP on, host:port."`
	UDP   string   `name:"udp" default:"127.0.0.1:3000" help:"Address to take datagrams on, host:port; off for none. A multicast group such as 239.255.42.1:3000 is joined. Whoever reaches it may publish, unless --udp-secret-file or --udp-allow is set."`
	Admin string   `default:"127.0.0.1:3002" help:"Address to serve metrics and profiles on, host:port; off for none. They need no token, so only the operator should reach it."`
	Auth  string   `default:"token" help:"Who may connect: token (those of --tokens or JWTs; with neither, one made at start and printed on a terminal, see --print-token), or none (everybody)."`
	Demo  bool     `default:"true" negatable:"" help:"Serve the demo page at /demo/."`
	Host  []string `placeholder:"NAME" help:"Further Host name, without a port, that is taken under --auth none and on the admin listener, beside loopback and the addresses listened on. Repeatable."`

	AccessConfig
	TLSConfig
	LimitConfig

	WriteTimeout      time.Duration `default:"10s" help:"Longest that a write may make no progress before its connection is closed."`
	Heartbeat         time.Duration `default:"15s" help:"Time between two heartbeats on a connection."`
	Drain             time.Duration `default:"8s" help:"Time over which subscribers are sent away at the end. The process ends a second later at the latest, so what stops it must wait longer than that: docker stop waits 10s. 0 is at once."`
	CloudEventsSource string        `name:"cloudevents-source" default:"urn:trivium:hub" placeholder:"URI" help:"The source, in ?format=cloudevents, of events that were not published as CloudEvents: a URI that names this hub."`
	SSEEnd            string        `name:"sse-end" default:"cut" help:"How the body of an event stream ends that its client is to resume: cut (without the last chunk, since some libraries never come back after an orderly end) or clean."`
	Slow              string        `default:"gap" help:"What befalls a subscriber that retention overtakes: gap (it is told and goes on) or disconnect."`

	EngineConfig

	RetainEvents int           `default:"65536" help:"Most events retained."`
	RetainBytes  Size          `default:"64MiB" help:"Most bytes that retained events take."`
	RetainAge    time.Duration `default:"10m" help:"Longest that an event is retained."`
	GapTopics    int           `default:"65536" help:"Most topics of which the hub remembers what it has let go, to tell gaps exactly."`

	UDPFormat     string `name:"udp-format" default:"auto" help:"What a datagram holds: auto (envelopes, other JSON, or text; one a line), json (JSON as data), raw (one event of any bytes) or syslog (RFC 5424 or RFC 3164, made JSON)."`
	UDPTopic      string `name:"udp-topic" default:"events" help:"Topic of datagrams that name none."`
	UDPTopicField string `name:"udp-topic-field" placeholder:"NAME" help:"Member of the JSON data that names the topic; dots lead into nested members."`
	UDPTypeField  string `name:"udp-type-field" placeholder:"NAME" help:"Member of the JSON data that names the type; dots lead into nested members."`

	UDPInterface  string        `name:"udp-interface" placeholder:"NAME" help:"Network interface on which to join the multicast group in --udp, such as eth0. Default: the system's choice."`
	UDPAllow      []string      `name:"udp-allow" placeholder:"CIDR" help:"Sender whose datagrams are taken, an IP address or a range such as 10.0.0.0/8. Repeatable; without it everybody's are."`
	UDPSecretFile string        `name:"udp-secret-file" placeholder:"FILE" help:"File with the secret that datagrams must be signed with, of 16 bytes at least; white space at its end is no part of it."`
	UDPSkew       time.Duration `name:"udp-skew" default:"30s" help:"How far the time of a signed datagram may be from the hub's, to either side."`

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
	for _, list := range [][]string{c.Host, c.Origin, c.CORSHeader, c.TrustedProxy, c.UDPAllow, c.ACME} {
		for i, element := range list {
			list[i] = strings.TrimSpace(element)
		}
	}
	return slices.Concat(c.checkListeners(), c.checkAccess(), c.checkTLS(), c.LimitConfig.check(), c.EngineConfig.check(), c.checkLog(), c.checkDelivery(), c.checkSources())
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

func (c *ServeConfig) checkDelivery() []fault {
	return slices.Concat(
		faulty("write-timeout", between(c.WriteTimeout, time.Millisecond, maxDuration)),
		faulty("heartbeat", between(c.Heartbeat, time.Millisecond, maxDuration)),
		faulty("drain", between(c.Drain, 0, maxDuration)),
		faulty("cloudevents-source", checkURI(c.CloudEventsSource)),
		faulty("sse-end", oneOf(c.SSEEnd, "cut", "clean")),
		faulty("slow", oneOf(c.Slow, "gap", "disconnect")),
		faulty("retain-events", between(c.RetainEvents, 1, maxCount)),
		faulty("retain-bytes", between(c.RetainBytes, c.minRetainBytes(), maxRetainBytes)),
		faulty("retain-age", between(c.RetainAge, c.minRetainAge(), maxRetainAge)),
		faulty("gap-topics", between(c.GapTopics, 1, maxCount)),
	)
}

func (c *ServeConfig) checkSources() []fault {
	faults := faulty("udp-format", oneOf(c.UDPFormat, wire.DatagramModes...))
	var invalid *hub.InvalidError
	if errors.As(hub.ValidateTopic(c.UDPTopic), &invalid) {
		faults = append(faults, faulty("udp-topic", fmt.Sprintf("%s, got %q", invalid.Detail, c.UDPTopic))...)
	}
	for _, senders := range c.UDPAllow {
		_, err := udp.ParseSenders(senders)
		faults = append(faults, faulty("udp-allow", said(err))...)
	}
	if c.UDPSecretFile != "" {
		_, err := readUDPSecret(c.UDPSecretFile)
		faults = append(faults, faulty("udp-secret-file", said(err))...)
	}
	faults = append(faults, faulty("udp-interface", c.checkInterface())...)
	faults = append(faults, faulty("udp-skew", between(c.UDPSkew, time.Millisecond, udp.MaxSkew))...)
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
	options.ReplaceAttr = func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindString {
			a.Value = slog.StringValue(escaped(a.Value.String(), oddBeyondASCII))
		}
		return a
	}
	return slog.New(slog.NewJSONHandler(w, options))
}
