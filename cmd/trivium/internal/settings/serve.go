package settings

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/terminal"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/udp"
)

// off is the value that disables a listener. An empty string disables it too.
const off = "off"

// These are the upper limits of settings. They are meant to detect typing errors, such as a wrong unit.
const (
	maxEventBytes  = Size(256 << 20)
	maxHeaderBytes = Size(16 << 20)
	maxRetainBytes = Size(1 << 40)
	maxTopics      = 4096
	maxFilterBytes = 1 << 30
	MaxCount       = 1 << 30 // for settings that are counts, for example of events or topics
	MaxDuration    = 24 * time.Hour
	MaxRetainAge   = 366 * 24 * time.Hour
)

// ServeConfig contains every setting of `trivium serve`. Each field can be set by a flag, by the
// environment variable TRIVIUM_<NAME> and by a key of the YAML file. A flag takes precedence over the
// environment variable, the variable over the file, and the file over the default. After a call of
// Faults, the addresses of disabled listeners are "".
type ServeConfig struct {
	Config string `placeholder:"FILE" help:"YAML file with settings. Its keys are the names of the flags without the leading dashes."`
	Check  bool   `help:"Check all settings, print each error with its place, and exit without listening. Exit code 0 if valid, 2 if not."`

	HTTP           string   `name:"http" default:"127.0.0.1:3000" help:"Address to serve HTTP on, host:port."`
	UDP            string   `name:"udp" default:"127.0.0.1:3000" help:"Address to receive datagrams on, host:port; off disables UDP. If it is a multicast group such as 239.255.42.1:3000, the hub joins the group. Every sender that can reach the address may publish, unless --udp-secret-file or --udp-allow is set."`
	Admin          string   `default:"127.0.0.1:3002" help:"Address to serve metrics and profiles on, host:port; off disables it. Without --admin-token-file, requests need no token, so only operators should be able to reach the address."`
	AdminTokenFile string   `name:"admin-token-file" placeholder:"FILE" help:"File with the token that every request to the admin listener must have, at least 16 characters. With it, requests may use any Host. Reread when it changes."`
	Auth           string   `default:"token" help:"Authentication: token or none. token accepts every configured kind of token (such as --tokens and JWTs); if none is configured, the hub generates a token at start and prints it on a terminal (see --print-token). With none, every client may read and publish."`
	Demo           bool     `default:"true" negatable:"" help:"Serve the demo page at /demo/."`
	Host           []string `placeholder:"NAME" help:"Host name, without a port, to accept in the Host header with --auth none and on the admin listener. Loopback and the listening addresses are always accepted. Repeatable."`

	AccessConfig
	TLSConfig
	LimitConfig

	WriteTimeout      time.Duration `default:"10s" help:"Time without progress of a write after which the connection is closed. Increase it for very slow clients."`
	Heartbeat         time.Duration `default:"15s" help:"Interval of heartbeats on a connection. Keep it below the idle timeout of proxies."`
	Drain             time.Duration `default:"8s" help:"Time at shutdown over which subscribers are disconnected. The process exits at most 1s later, so the service manager must wait longer than that; docker stop waits 10s. 0 disconnects all at once."`
	CloudEventsSource string        `name:"cloudevents-source" default:"urn:trivium:hub" placeholder:"URI" help:"CloudEvents source, with ?format=cloudevents, of events that were not published as CloudEvents: a URI that identifies this hub."`
	SSEEnd            string        `name:"sse-end" default:"cut" help:"How an event stream ends when the client should reconnect: cut (without the last HTTP chunk, because some libraries do not reconnect after a clean end) or clean."`
	Slow              string        `default:"gap" help:"What to do with a subscriber that falls behind retention: gap (report the gap and continue) or disconnect."`

	EngineConfig

	RetainEvents int           `default:"65536" help:"Maximum number of retained events; the oldest are removed first."`
	RetainBytes  Size          `default:"64MiB" help:"Maximum size of all retained events, in bytes or with a unit such as MiB."`
	RetainAge    time.Duration `default:"10m" help:"Maximum age of retained events."`
	GapTopics    int           `default:"65536" help:"Number of topics for which the hub stores the position of the last removed event, so that gaps are reported exactly. Increase it if there are more topics."`

	UDPFormat     string `name:"udp-format" default:"auto" help:"Content of datagrams: auto (envelopes, other JSON or text, one per line), json (JSON data, one per line), raw (the whole datagram is one event) or syslog (RFC 5424 or RFC 3164, converted to JSON)."`
	UDPTopic      string `name:"udp-topic" default:"events" help:"Topic of datagrams that contain no topic."`
	UDPTopicField string `name:"udp-topic-field" placeholder:"NAME" help:"Member of the JSON data that contains the topic; use dots for nested members, such as meta.topic."`
	UDPTypeField  string `name:"udp-type-field" placeholder:"NAME" help:"Member of the JSON data that contains the type; use dots for nested members, such as meta.type."`

	UDPInterface  string        `name:"udp-interface" placeholder:"NAME" help:"Network interface on which to join the multicast group in --udp, such as eth0. Default: the system's choice."`
	UDPAllow      []string      `name:"udp-allow" placeholder:"CIDR" help:"IP address or network of accepted senders, such as 10.0.0.0/8. Repeatable. Default: all senders."`
	UDPSecretFile string        `name:"udp-secret-file" placeholder:"FILE" help:"File with the secret that datagrams must be signed with, at least 16 bytes. White space at its end is ignored."`
	UDPSkew       time.Duration `name:"udp-skew" default:"30s" help:"Maximum difference between the time of a signed datagram and the hub's clock."`

	WSCompression  bool       `name:"ws-compression" help:"Offer permessage-deflate to WebSocket clients."`
	LogLevel       slog.Level `default:"info" help:"Lowest level to log, on standard error: debug, info, warn or error."`
	LogConnections bool       `help:"Log one line when a subscriber connects and one when its connection closes, with session, subject, address, transport, reason, duration, events and bytes. A poll has one line."`
	LogFormat      string     `placeholder:"FORMAT" help:"Format of the log: text or json. Default: text on a terminal, json otherwise."`
}

// FileChecker loads the files that settings name, and returns the faults in their content.
type FileChecker interface {
	CheckAccess(c *ServeConfig) []Fault    // files of tokens, keys and revoked JWTs
	CheckCertificate(c *TLSConfig) []Fault // files of --tls-cert and --tls-key
}

// File is a file that a flag names. Flag begins with the dashes.
type File struct{ Flag, Path string }

// LoadFiles calls load with the contents of the files, in the order of the files, and calls it again whenever a file has
// changed. If load returns an error, it must not use any of the contents. LoadFiles returns the faults that the first call
// of load has found, or the reason why a file cannot be read.
type LoadFiles func(load func(contents [][]byte) error, files ...File) []Fault

// Faults returns a fault for each invalid setting. It also normalizes settings: it removes white space around values, and
// replaces the address "off" by "".
func (c *ServeConfig) Faults(files FileChecker) []Fault {
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
	c.Token = strings.TrimSpace(c.Token)
	return slices.Concat(c.checkListeners(), c.checkAccess(files), c.checkTLS(files), c.LimitConfig.check(), c.EngineConfig.check(), c.checkLog(), c.checkDelivery(), c.checkUDPOff(), c.checkSources())
}

func (c *ServeConfig) checkListeners() []Fault {
	faults := slices.Concat(
		Faults("http", CheckAddress(c.HTTP)),
		Faults("auth", OneOf(c.Auth, "token", "none")),
	)
	if c.UDP != "" {
		faults = append(faults, Faults("udp", CheckAddress(c.UDP))...)
	}
	if c.Admin != "" {
		faults = append(faults, Faults("admin", cmp.Or(CheckAddress(c.Admin), c.checkAdminApart()))...)
	}
	if c.AdminTokenFile != "" && c.Admin == "" {
		faults = append(faults, Faults("admin-token-file", "has no effect with --admin off")...)
	}
	for _, host := range c.Host {
		faults = append(faults, Faults("host", checkHost(host))...)
	}
	return faults
}

// checkAdminApart returns a description of the fault if the addresses of --admin and --http are equal,
// and otherwise "". They may be equal if the port is 0, because each listener then gets a free port of
// its own.
func (c *ServeConfig) checkAdminApart() string {
	if c.Admin == c.HTTP && !strings.HasSuffix(c.Admin, ":0") {
		return fmt.Sprintf("want another address than --http, got %q for both", c.Admin)
	}
	return ""
}

func (c *ServeConfig) checkDelivery() []Fault {
	return slices.Concat(
		Faults("write-timeout", Between(c.WriteTimeout, time.Millisecond, MaxDuration)),
		Faults("heartbeat", Between(c.Heartbeat, time.Millisecond, MaxDuration)),
		Faults("drain", Between(c.Drain, 0, MaxDuration)),
		Faults("cloudevents-source", checkURI(c.CloudEventsSource)),
		Faults("sse-end", OneOf(c.SSEEnd, "cut", "clean")),
		Faults("slow", OneOf(c.Slow, "gap", "disconnect")),
		Faults("retain-events", Between(c.RetainEvents, 1, MaxCount)),
		Faults("retain-bytes", Between(c.RetainBytes, c.minRetainBytes(), maxRetainBytes)),
		Faults("retain-age", Between(c.RetainAge, c.minRetainAge(), MaxRetainAge)),
		Faults("gap-topics", Between(c.GapTopics, 1, MaxCount)),
	)
}

// checkUDPOff returns a fault for each setting that requires UDP, if UDP is off.
func (c *ServeConfig) checkUDPOff() (faults []Fault) {
	if c.UDP != "" {
		return nil
	}
	for _, setting := range []struct {
		flag string
		set  bool
	}{
		{"udp-topic-field", c.UDPTopicField != ""}, {"udp-type-field", c.UDPTypeField != ""},
		{"udp-allow", len(c.UDPAllow) > 0}, {"udp-secret-file", c.UDPSecretFile != ""},
	} {
		if setting.set {
			faults = append(faults, Faults(setting.flag, "has no effect with --udp off")...)
		}
	}
	return faults
}

func (c *ServeConfig) checkSources() []Fault {
	faults := Faults("udp-format", OneOf(c.UDPFormat, udp.Modes()...))
	var invalid *hub.InvalidError
	if errors.As(hub.ValidateTopic(c.UDPTopic), &invalid) {
		faults = append(faults, Faults("udp-topic", fmt.Sprintf("%s, got %q", invalid.Detail, c.UDPTopic))...)
	}
	for _, senders := range c.UDPAllow {
		_, err := auth.ParseNetwork(senders)
		faults = append(faults, Faults("udp-allow", ErrorText(err))...)
	}
	if c.UDPSecretFile != "" {
		_, err := ReadUDPSecret(c.UDPSecretFile)
		faults = append(faults, Faults("udp-secret-file", ErrorText(err))...)
	}
	faults = append(faults, Faults("udp-interface", c.checkInterface())...)
	faults = append(faults, Faults("udp-skew", Between(c.UDPSkew, time.Millisecond, udp.MaxSkew))...)
	faults = append(faults, Faults("udp-topic-field", checkField(c.UDPTopicField))...)
	faults = append(faults, Faults("udp-type-field", checkField(c.UDPTypeField))...)
	if c.LogFormat != "" {
		faults = append(faults, Faults("log-format", OneOf(c.LogFormat, "text", "json"))...)
	}
	return faults
}

// NewLogger returns a logger that writes to w, with the configured format and level.
func (c *ServeConfig) NewLogger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "text" || c.LogFormat == "" && terminal.Attached(w) {
		return slog.New(slog.NewTextHandler(w, options))
	}
	options.ReplaceAttr = func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindString {
			a.Value = slog.StringValue(terminal.HarmlessBeyondASCII(a.Value.String()))
		}
		return a
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// HostNames returns the host names that the Host header of requests may contain: the values of --host and --acme, and the
// hosts of --http and --admin. Loopback names and the local address of a connection are always allowed, and are not in
// the list.
func (c *ServeConfig) HostNames() []string {
	names := slices.Concat(c.Host, c.ACME)
	for _, address := range []string{c.HTTP, c.Admin} {
		if host, _, err := net.SplitHostPort(address); err == nil && host != "" {
			names = append(names, host)
		}
	}
	return names
}
