package transports

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/websocket"
)

// Config configures an API. Only Hub is required: the zero value of every other field is a working default.
type Config struct {
	Hub *hub.Hub

	// Auth decides who may connect, by tokens. The caller runs Auth.Run.
	Auth *auth.Middleware
	// Authorize decides it instead, for a program that has users of its own. It is called for each request
	// and must be safe for concurrent use. An error refuses the request with 403, one that wraps
	// auth.ErrNoToken with 401; it is logged, and not sent. It excludes Auth.
	//
	// Without Auth and Authorize everybody may do everything, but only pages of the same origin, and only
	// under the names of loopback, the address that the connection came in on, and Hosts.
	Authorize func(*http.Request) (*Rights, error)
	// Hosts are further host names, without a port, that are served without Auth and Authorize.
	Hosts []string

	Heartbeat    time.Duration // between two heartbeats; 0: DefaultHeartbeat
	WriteTimeout time.Duration // without progress, then the connection is closed; 0: DefaultWriteTimeout
	// ReadTimeout is the time limit for each 16 KiB of a body or WebSocket message, and for each line of NDJSON. A
	// whole body, line or message may take six times as long, and ReadTimeout more for each MiB. 0:
	// DefaultReadTimeout, negative: no limit.
	ReadTimeout time.Duration

	MaxTopics           int     // filters of a subscription; 0: DefaultMaxTopics, negative: no limit
	MaxMessageBytes     int64   // of a WebSocket client's message; 0: websocket.DefaultMaxMessage
	MaxMessageRate      float64 // of a WebSocket client's messages, a second; 0: websocket.DefaultMessageRate
	MaxMessageFragments int     // frames of a message; 0: websocket.DefaultMaxFragments

	// Disconnect closes the connection of a subscriber that falls behind retention, instead of sending it a gap.
	Disconnect bool
	// Compression offers permessage-deflate to WebSocket clients.
	Compression bool
	// CleanEnd ends each SSE stream with an orderly end of its body. Otherwise a stream that the client is to
	// resume is cut, since several client libraries take an orderly end for the end of everything.
	CleanEnd bool
	// CloudEventsSource is the source attribute of events that were not published as CloudEvents; "":
	// DefaultCloudEventsSource.
	CloudEventsSource string

	Log *slog.Logger // nil: nothing is logged
	// LogConnections logs one line when a subscriber's connection opens and one when it closes, with its session,
	// subject, address and transport, and at the end the reason, duration, events and bytes. A poll has one line.
	LogConnections bool
	// Advice returns what the operator can do about an error of auth on a route; it is appended to the answer.
	// Nil: nothing.
	Advice func(route string, err error) string
	// Admitted wraps the handlers of requests that Auth or Authorize has let pass. Nil: nothing.
	Admitted func(http.Handler) http.Handler
}

// Defaults of Config.
const (
	DefaultHeartbeat         = 15 * time.Second
	DefaultWriteTimeout      = 10 * time.Second
	DefaultReadTimeout       = 10 * time.Second
	DefaultMaxTopics         = 64
	DefaultCloudEventsSource = "urn:trivium:hub"
)

// Limits of an API without Config.Auth.
var defaultLimits = auth.ConnectionLimits{Total: 100_000, FilterBytes: 128 << 20, FilterBytesPerToken: 32 << 20}

// Rights are what one request may do, and a connection until they expire.
type Rights struct {
	// Subject names the user. Limits and idempotency keys are counted for each subject.
	Subject            string
	Subscribe, Publish []string  // topic filters
	Expires            time.Time // the connection is closed then; zero: never
}

// credential returns the rights as auth has them.
func (r *Rights) credential() (*auth.Credential, error) {
	if r == nil {
		return nil, auth.ErrNoToken
	}
	subscribe, err := filterSet(r.Subscribe)
	if err != nil {
		return nil, fmt.Errorf("Rights.Subscribe: %w", err)
	}
	publish, err := filterSet(r.Publish)
	if err != nil {
		return nil, fmt.Errorf("Rights.Publish: %w", err)
	}
	return auth.NewCredential(r.Subject, subscribe, publish, r.Expires), nil
}

func filterSet(texts []string) (hub.FilterSet, error) {
	filters := make([]hub.Filter, len(texts))
	for i, text := range texts {
		filter, err := hub.ParseFilter(text)
		if err != nil {
			return hub.FilterSet{}, fmt.Errorf("%q: %w", text, err)
		}
		filters[i] = filter
	}
	return hub.NewFilterSet(filters...), nil
}

// withDefaults returns the configuration with its defaults, or all that is wrong with it.
func (c Config) withDefaults() (Config, error) {
	var faults []error
	if c.Auth != nil && c.Authorize != nil {
		faults = append(faults, errors.New("transports: Config.Auth and Config.Authorize exclude each other"))
	}
	for name, d := range map[string]time.Duration{"Heartbeat": c.Heartbeat, "WriteTimeout": c.WriteTimeout} {
		if d < 0 {
			faults = append(faults, fmt.Errorf("transports: Config.%s must not be negative", name))
		}
	}
	if c.MaxMessageBytes < 0 || c.MaxMessageRate < 0 || c.MaxMessageFragments < 0 {
		faults = append(faults, errors.New("transports: Config.MaxMessageBytes, MaxMessageRate and MaxMessageFragments must not be negative"))
	}
	if c.CloudEventsSource != "" {
		faults = append(faults, ValidateCloudEventsSource(c.CloudEventsSource))
	}
	c.Heartbeat = cmp.Or(c.Heartbeat, DefaultHeartbeat)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, DefaultWriteTimeout)
	c.ReadTimeout = max(0, cmp.Or(c.ReadTimeout, DefaultReadTimeout))
	c.MaxTopics = max(0, cmp.Or(c.MaxTopics, DefaultMaxTopics))
	c.MaxMessageBytes = cmp.Or(c.MaxMessageBytes, websocket.DefaultMaxMessage)
	c.MaxMessageRate = cmp.Or(c.MaxMessageRate, websocket.DefaultMessageRate)
	c.MaxMessageFragments = cmp.Or(c.MaxMessageFragments, websocket.DefaultMaxFragments)
	c.CloudEventsSource = cmp.Or(c.CloudEventsSource, DefaultCloudEventsSource)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, errors.Join(faults...)
}

// middleware returns what judges requests, and whether the API has to run it.
func (c *Config) middleware() (m *auth.Middleware, own bool, err error) {
	if c.Auth != nil {
		return c.Auth, false, nil
	}
	config := auth.Config{Limits: defaultLimits, CrossSite: auth.CrossSiteRefused}
	if authorize := c.Authorize; authorize != nil {
		config.Authorize = func(r *http.Request) (*auth.Credential, error) {
			rights, err := authorize(r)
			if err != nil {
				return nil, err
			}
			return rights.credential()
		}
		return auth.New(config), true, nil
	}
	if config.Hosts, err = auth.NewHostPolicy(c.Hosts...); err != nil {
		return nil, false, fmt.Errorf("transports: Config.Hosts: %w", err)
	}
	return auth.New(config), true, nil
}
