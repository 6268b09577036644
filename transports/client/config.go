package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/wire"
)

// Transport is a road from the hub.
type Transport int

// The transports.
const (
	// Auto takes the first of WebSocket, SSE and LongPoll that works, and tries later whether a
	// better one works by then.
	Auto Transport = iota
	WebSocket
	SSE
	LongPoll
	// EventSource is SSE by the browser's own EventSource, for pages alone. It shows what plain
	// JavaScript gets; SSE can more: it sees the status of a refusal.
	EventSource
)

// String gives the name, as people write it.
func (t Transport) String() string {
	switch t {
	case Auto:
		return "auto"
	case WebSocket:
		return "WebSocket"
	case SSE:
		return "SSE"
	case LongPoll:
		return "long-poll"
	case EventSource:
		return "EventSource"
	}
	return fmt.Sprintf("Transport(%d)", int(t))
}

// Config says what to connect to and what to ask for. URL alone is required, in a page nothing is.
type Config struct {
	// URL is the hub's: http or https, host, and the path it stands under if there is one. In a
	// page "" is the page's own origin.
	URL string
	// Token gives the token, nil for a hub that needs none. See TokenSource.
	Token TokenSource
	// Transport is how to read; it can be changed by Client.Use.
	Transport Transport

	// Topics are filters (docs/protocol.md#topics), at most 64; nil is all that the token may read, and
	// empty but not nil is none until Client.SetTopics: then there is no connection, and the client
	// stands still.
	Topics []string
	// Cursor, Last, Since and SinceTime say where to begin, at most one of them (docs/protocol.md#starting-a-subscription):
	// after an event's ID, with the newest Last events (1 to 1000), with those that were no older
	// than Since when Connect was called, or with the first that the hub accepted no earlier than
	// SinceTime. With none it is the next event.
	Cursor    string
	Last      int
	Since     time.Duration
	SinceTime time.Time
	// Conflate has the hub leave out, of several events with one topic and key for which this
	// client was too slow, all but the newest.
	Conflate bool

	// Platform is the network, nil for NewPlatform's.
	Platform Platform
	// Silence is how long a connection may be silent before it is taken for dead where the hub
	// does not say how often its heartbeats come; 0 is 40 s. Where it does, it is two and a half
	// times that, and a second at least. It is doubled, up to three times, when a connection fell
	// silent, and until heartbeats have shown how often they come. At most it is 24 h.
	Silence time.Duration
	// MaxWait is the longest wait between two tries that the hub did not ask for, at most 24 h; 0 is 30 s.
	MaxWait time.Duration
	// OpenTimeout is how long a connection may take until the hub has said where the client stands, at
	// most 24 h; 0 is 10 s. Set it higher where the network or the machine is slow; Auto takes as long
	// to find out that a proxy holds a stream back.
	OpenTimeout time.Duration
}

// Defaults and limits of Config.
const (
	defaultSilence = 40 * time.Second
	defaultMaxWait = 30 * time.Second
	defaultOpen    = 10 * time.Second
	maxTopics      = 64
	longest        = 24 * time.Hour // that a time may be which is multiplied
)

// check sets the defaults, and gives the URL that all others begin with. The error names every field
// that is wrong, and repeats nothing of the URL, where there may be a secret.
func (cfg *Config) check() (base string, err error) {
	if cfg.Platform == nil {
		cfg.Platform = defaultPlatform()
	}
	base, badURL := checkURL(cmp.Or(cfg.URL, pageOrigin()))
	var faults []error
	bad := func(field string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("client: Config.%s: %w", field, err))
		}
	}
	bad("URL", badURL)
	bad("Transport", checkTransport(cfg.Transport, cfg.Platform))
	bad("Topics", checkTopics(cfg.Topics))
	if cfg.Cursor != "" {
		bad("Cursor", checkID(cfg.Cursor))
	}
	if cfg.Last < 0 || cfg.Last > hub.MaxLast {
		bad("Last", fmt.Errorf("must be 0 to %d", hub.MaxLast))
	}
	bad("Since", notNegative(cfg.Since))
	if year := cfg.SinceTime.UTC().Year(); year < 0 || year > 9999 {
		bad("SinceTime", errors.New("must be in the years 0 to 9999"))
	}
	if cfg.starts() > 1 {
		faults = append(faults, errors.New("client: Config.Cursor, Last, Since and SinceTime exclude each other"))
	}
	bad("Silence", checkTime(cfg.Silence))
	bad("MaxWait", checkTime(cfg.MaxWait))
	bad("OpenTimeout", checkTime(cfg.OpenTimeout))
	cfg.Silence = cmp.Or(cfg.Silence, defaultSilence)
	cfg.MaxWait = cmp.Or(cfg.MaxWait, defaultMaxWait)
	cfg.OpenTimeout = cmp.Or(cfg.OpenTimeout, defaultOpen)
	return base, errors.Join(faults...)
}

// starts is in how many ways it says where to begin.
func (cfg *Config) starts() (n int) {
	for _, said := range []bool{cfg.Cursor != "", cfg.Last != 0, cfg.Since != 0, !cfg.SinceTime.IsZero()} {
		if said {
			n++
		}
	}
	return n
}

func checkURL(text string) (string, error) {
	u, err := parseAddress(text)
	switch {
	case text == "":
		return "", errors.New("is needed: the hub's, as in https://hub.example")
	case err != nil:
		return "", errors.New("is no URL")
	case u.scheme != "http" && u.scheme != "https", u.host == "":
		return "", errors.New("must begin with http:// or https:// and a host")
	case u.user:
		return "", errors.New("must have no user and no password; Config.Token is for the token")
	case u.query || u.fragment:
		return "", errors.New("must have no query and no fragment")
	}
	return strings.TrimRight(u.bare(), "/"), nil
}

func checkTransport(t Transport, p Platform) error {
	if t < Auto || t > EventSource {
		return errNoTransport
	}
	if _, ok := p.(EventSourcer); t == EventSource && !ok {
		return errNoEventSource
	}
	return nil
}

var errNoTransport = errors.New("is none of the package's transports")

// checkTopics: the error is a *Problem.
func checkTopics(topics []string) error {
	if len(topics) > maxTopics {
		return wire.BadParameter("topic", fmt.Sprintf("at most %d are allowed, these are %d", maxTopics, len(topics)))
	}
	for i, topic := range topics {
		if _, err := hub.ParseFilter(topic); err != nil {
			problem := wire.ProblemOf(err)
			problem.Detail += fmt.Sprintf(" (topic %d of %d)", i+1, len(topics))
			return problem
		}
	}
	return nil
}

func notNegative(d time.Duration) error {
	if d < 0 {
		return errors.New("must not be negative")
	}
	return nil
}

func checkTime(d time.Duration) error {
	if d < 0 || d > longest {
		return errors.New("must be 0 to 24h")
	}
	return nil
}

// distinct gives the topics each once. nil stays nil.
func distinct(topics []string) []string {
	if topics == nil {
		return nil
	}
	once := make([]string, 0, len(topics))
	for _, topic := range topics {
		if !slices.Contains(once, topic) {
			once = append(once, topic)
		}
	}
	return once
}

// Token is what the hub asks for, and until when it is good.
type Token struct {
	Value string
	// Ends is when it ends; zero is unknown, or the "exp" of a JWT.
	Ends time.Time
}

// TokenSource gives a token that is good now. It is called before the first connection, a minute
// before a token ends (or when four fifths of its life are over, if that is later), and once when
// the hub refuses a token. Its error ends the client if it is a *FinalError, otherwise it is tried
// again. A WebSocket is told of a fresh token and a poll asks with it; SSE and EventSource, which
// cannot be told, are connected anew with it.
type TokenSource func(ctx context.Context) (Token, error)

// StaticToken is a TokenSource of one token.
func StaticToken(value string) TokenSource {
	return func(context.Context) (Token, error) { return Token{Value: value}, nil }
}
