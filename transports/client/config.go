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
	"github.com/trivium-hub/trivium/transports/problems"
)

// Transport is a way to read events from the hub.
type Transport int

// These are the transports.
const (
	// Auto uses the first of WebSocket, SSE and LongPoll that works. It later checks whether a
	// better one works.
	Auto Transport = iota
	WebSocket
	SSE
	LongPoll
	// EventSource is SSE through the browser's EventSource, which only pages have. It is for
	// comparisons with JavaScript code that uses EventSource. SSE is better, because it shows the
	// HTTP status of a refusal.
	EventSource
)

// String returns the transport's name.
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

// Config is the configuration of a client. Only URL is required. In a browser page, no field is
// required.
type Config struct {
	// URL is the hub's base URL: http or https, the host, and the path prefix if there is one. In a page, ""
	// means the page's origin.
	URL string
	// Token is the source of tokens; nil if the hub requires no token.
	Token TokenSource
	// Transport selects the transport; Client.Use can change it.
	Transport Transport

	// Topics are topic filters (docs/protocol.md#topics), at most 64. nil selects everything that
	// the token may read. An empty slice that is not nil selects nothing: the client then has no
	// connection until Client.SetTopics.
	Topics []string
	// Cursor, Last, Since and SinceTime select the start position; at most one may be set
	// (docs/protocol.md#starting-a-subscription). Cursor resumes after the event with this ID. Last
	// starts with the newest N events (1 to 1000). Since starts with the events published within
	// this duration before Connect. SinceTime starts with the first event that the hub accepted at
	// this time or later. If none is set, the subscription starts with the next event.
	Cursor    string
	Last      int
	Since     time.Duration
	SinceTime time.Time
	// Conflate lets the hub skip outdated events when this client falls behind: from several
	// waiting events with the same topic and key, the hub delivers only the newest.
	Conflate bool

	// Platform sends requests and opens connections. The default is the platform that NewPlatform returns.
	Platform Platform
	// Silence is the silence limit if the hub does not announce its heartbeat interval: a connection that
	// receives nothing for this time is considered dead. The default is 40 s, the maximum 24 h. If the hub
	// announces the interval, the limit is 2.5 intervals, but at least one second. After each connection
	// that was considered dead, the limit doubles, at most three times. The client resets the limit when
	// it has received heartbeats.
	Silence time.Duration
	// MaxWait is the longest wait between two attempts, unless the hub requests a longer one. The default
	// is 30 s, the maximum 24 h.
	MaxWait time.Duration
	// OpenTimeout is the time within which the hub must confirm a new subscription. The default is 10 s,
	// the maximum 24 h. Increase it for a slow network or machine. If a proxy buffers a stream, the
	// confirmation does not arrive, and Auto tries the next transport after this time.
	OpenTimeout time.Duration
}

// Defaults and limits of Config.
const (
	defaultSilence = 40 * time.Second
	defaultMaxWait = 30 * time.Second
	defaultOpen    = 10 * time.Second
	maxTopics      = 64
	maxDuration    = 24 * time.Hour // maximum of each configured duration, so that its multiples do not overflow
)

// check sets the defaults and returns the base URL. The error names every invalid field. The error
// does not contain the URL, which may contain a secret.
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
	if cfg.countStarts() > 1 {
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

// countStarts returns the number of start positions that are set.
func (cfg *Config) countStarts() (n int) {
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
		return "", errors.New("required (for example https://hub.example)")
	case err != nil:
		return "", errors.New("is not a valid URL")
	case u.scheme != "http" && u.scheme != "https", u.host == "":
		return "", errors.New("must begin with http:// or https:// and a host")
	case u.user:
		return "", errors.New("must have no user and no password; use Config.Token")
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

var errNoTransport = errors.New("is not a transport of this package")

// checkTopics returns a *Problem for the first invalid topic filter.
func checkTopics(topics []string) error {
	if len(topics) > maxTopics {
		return problems.BadParameter("topic", fmt.Sprintf("at most %d are allowed, got %d", maxTopics, len(topics)))
	}
	for i, topic := range topics {
		if _, err := hub.ParseFilter(topic); err != nil {
			problem := problems.Of(err)
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
	if d < 0 || d > maxDuration {
		return errors.New("must be 0 to 24h")
	}
	return nil
}

// distinct returns the topics without duplicates; nil stays nil.
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

// Token is an access token and its expiry.
type Token struct {
	Value string
	// Ends is the expiry. If it is zero, the expiry is the "exp" claim of a JWT, or unknown for
	// other tokens.
	Ends time.Time
}

// TokenSource returns a token that is valid now. The client calls it before the first connection,
// before a token expires, and when the hub rejects a token. It renews a token one minute before the
// expiry, or when a fifth of the token's life is left if that is less than a minute. If the error
// is a *FinalError, the client ends; after any other error, it retries. A WebSocket and a poll use
// a new token without reconnecting; SSE and EventSource reconnect with it.
type TokenSource func(ctx context.Context) (Token, error)

// StaticToken returns a TokenSource that always returns the same token.
func StaticToken(value string) TokenSource {
	return func(context.Context) (Token, error) { return Token{Value: value}, nil }
}
