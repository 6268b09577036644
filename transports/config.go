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

// Config configures an API. Only Hub is required. The zero value of every other field is a usable
// default.
type Config struct {
	Hub *hub.Hub

	// Auth authenticates requests by tokens. The caller must run Auth.Run.
	Auth *auth.Middleware
	// Authorize authenticates requests instead of Auth, for a program that manages its own users.
	// The API calls it for each request, and may do so concurrently. If it returns an error, the
	// request is refused with status 403, or with 401 if the error wraps auth.ErrNoToken. The error is
	// logged, and not sent to the client. Authorize and Auth must not both be set.
	//
	// If neither is set, every request has all rights. However, the API then refuses requests from
	// pages of another origin, and the header Host must contain a loopback name, the local address of
	// the connection, or one of Hosts.
	Authorize func(*http.Request) (*Rights, error)
	// Hosts contains further host names, without a port, that the header Host may contain if neither
	// Auth nor Authorize is set.
	Hosts []string

	Heartbeat    time.Duration // interval between two heartbeats; 0: DefaultHeartbeat
	WriteTimeout time.Duration // time without progress after which a connection is closed; 0: DefaultWriteTimeout
	// ReadTimeout is the timeout for receiving each 16 KiB of a body or WebSocket message, and each
	// line of NDJSON. The timeout for a whole body, line or message is six times as long, plus
	// ReadTimeout per MiB. 0: DefaultReadTimeout; negative: no timeout.
	ReadTimeout time.Duration

	MaxTopics           int     // maximum number of filters of a subscription; 0: DefaultMaxTopics, negative: no limit
	MaxMessageBytes     int64   // maximum size of a message from a WebSocket client; 0: websocket.DefaultMaxMessage
	MaxMessageRate      float64 // maximum number of messages per second from a WebSocket client; 0: websocket.DefaultMessageRate
	MaxMessageFragments int     // maximum number of frames of such a message; 0: websocket.DefaultMaxFragments

	// EncodingBytes limits the memory, in bytes, for encodings of the events in the hub's in-memory log.
	// This memory is used in addition to hub.Retention.Bytes. If the limit leaves no room for the
	// encoding of an event, the event is encoded again for each reader. 0: DefaultEncodingBytes.
	EncodingBytes int64

	// Disconnect makes the hub disconnect a subscriber that falls behind retention. By default, the
	// hub sends a gap instead.
	Disconnect bool
	// Compression enables permessage-deflate for WebSocket clients that support it.
	Compression bool
	// CleanEnd makes the hub terminate the body of every SSE stream cleanly, with a last chunk. By
	// default, a stream that the client should resume ends without the last chunk, because several
	// client libraries do not reconnect after a clean end.
	CleanEnd bool
	// CloudEventsSource is the source attribute of events that were not published as CloudEvents; "":
	// DefaultCloudEventsSource.
	CloudEventsSource string

	Log *slog.Logger // nil: nothing is logged
	// LogConnections enables a log line when a subscriber's connection opens, and one when it closes.
	// Both lines contain the session, subject, address and transport; the second also contains the
	// reason and duration, and the numbers of events and bytes. A poll has only the second line.
	LogConnections bool
	// Advice returns advice for the operator about an error of package auth on a route. The API
	// appends it to the detail of the problem with which it answers. Nil: no advice.
	Advice func(route string, err error) string
	// Admitted wraps the handlers that serve requests after Auth or Authorize has accepted them. Nil:
	// the handlers are not wrapped.
	Admitted func(http.Handler) http.Handler
}

// Defaults of Config.
const (
	DefaultHeartbeat         = 15 * time.Second
	DefaultWriteTimeout      = 10 * time.Second
	DefaultReadTimeout       = 10 * time.Second
	DefaultMaxTopics         = 64
	DefaultEncodingBytes     = 8 << 20
	DefaultCloudEventsSource = "urn:trivium:hub"
)

// defaultLimits are the limits of an API without Config.Auth.
var defaultLimits = auth.ConnectionLimits{Total: 100_000, FilterBytes: 128 << 20, FilterBytesPerToken: 32 << 20}

// Rights are the rights of a request. A connection keeps them until they expire.
type Rights struct {
	// Subject identifies the user. Limits apply per subject, and different subjects may use the same
	// idempotency key.
	Subject            string
	Subscribe, Publish []string  // topic filters
	Expires            time.Time // time at which the connection is closed; zero: never
}

// credential converts the rights to a credential of package auth.
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

// withDefaults returns the configuration with defaults. If it is invalid, withDefaults returns an error
// that describes all faults.
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
	if c.EncodingBytes < 0 {
		faults = append(faults, errors.New("transports: Config.EncodingBytes must not be negative"))
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
	c.EncodingBytes = cmp.Or(c.EncodingBytes, DefaultEncodingBytes)
	c.CloudEventsSource = cmp.Or(c.CloudEventsSource, DefaultCloudEventsSource)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, errors.Join(faults...)
}

// middleware returns the middleware that authenticates requests. own reports whether the API owns the
// middleware and must call Middleware.Run.
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
