package jetstream

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/trivium-hub/trivium/hub"
)

// DefaultStream is the stream's name if none is configured.
const DefaultStream = "trivium"

// Limits of Config's fields.
const (
	MaxReplicas = 5 // JetStream allows no more
	// MaxEventSize is the largest size of an event's data in a stream on disk. With the message overhead it stays
	// below 32 MiB.
	MaxEventSize = 31 << 20
)

// MaxMessageOverhead is the largest size of a message without its data: the subject, the escaped
// type and key, and the headers of a batch and of an idempotency key.
const MaxMessageOverhead = 4 << 10

// Config describes an engine's NATS servers and its stream. Exactly one of Store and URL must be set;
// every other field may be zero.
type Config struct {
	// Store is the directory of an embedded server.
	Store string
	// SyncAlways makes the embedded server write to disk before each acknowledgement, instead of
	// once per SyncInterval.
	SyncAlways bool
	// URL contains the addresses of one or more NATS servers, separated by commas.
	URL         string
	Credentials string // path of a credentials file; empty: none

	Stream       string        // letters, digits, - and _; empty: DefaultStream
	Replicas     int           // number of replicas of the stream; 0: 1
	Retention    hub.Retention // retention of the stream
	Window       int           // number of events with which the in-memory log is filled at the start; 0: hub.DefaultRetainEvents
	MaxEventSize int           // largest size of an event's data in bytes; 0: hub.DefaultMaxEventSize
	Logger       *slog.Logger  // nil: nothing is logged
}

// SyncInterval is the interval at which an embedded server writes to disk.
const SyncInterval = 100 * time.Millisecond

var streamName = regexp.MustCompile(`^[0-9A-Za-z_-]{1,64}$`)

// ValidateStream returns an error if name is not a valid stream name.
func ValidateStream(name string) error {
	if !streamName.MatchString(name) {
		return fmt.Errorf("want 1 to 64 letters, digits, - or _, got %q", name)
	}
	return nil
}

func (c Config) withDefaults() (Config, error) {
	if (c.Store == "") == (c.URL == "") {
		return c, errors.New("want either a store or a URL")
	}
	c.Stream = cmp.Or(c.Stream, DefaultStream)
	c.Replicas = cmp.Or(c.Replicas, 1)
	c.Retention.Events = cmp.Or(c.Retention.Events, hub.DefaultRetainEvents)
	c.Retention.Bytes = cmp.Or(c.Retention.Bytes, hub.DefaultRetainBytes)
	c.Retention.Age = cmp.Or(c.Retention.Age, hub.DefaultRetainAge)
	c.Window = cmp.Or(c.Window, hub.DefaultRetainEvents)
	c.MaxEventSize = cmp.Or(c.MaxEventSize, hub.DefaultMaxEventSize)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if err := ValidateStream(c.Stream); err != nil {
		return c, fmt.Errorf("stream: %w", err)
	}
	if c.Replicas < 1 || c.Replicas > MaxReplicas || c.Store != "" && c.Replicas > 1 {
		return c, fmt.Errorf("replicas: want 1 to %d, and 1 for an embedded server, got %d", MaxReplicas, c.Replicas)
	}
	if c.MaxEventSize > MaxEventSize {
		return c, fmt.Errorf("JetStream accepts events of at most %d bytes, not %d", MaxEventSize, c.MaxEventSize)
	}
	if least := int64(c.MaxEventSize + MaxMessageOverhead); c.Retention.Bytes < least {
		return c, configError("Retention.Bytes", "a log of %d bytes has no room for an event of %d bytes: want at least %d",
			c.Retention.Bytes, c.MaxEventSize, least)
	}
	return c, nil
}

// ConfigError reports that a field of Config is not compatible with the server, the stream or
// another field.
type ConfigError struct {
	Field  string // name of the field, for example "Retention.Bytes"
	Detail string
}

// Error implements error.
func (e *ConfigError) Error() string { return e.Detail }

func configError(field, format string, args ...any) error {
	return &ConfigError{Field: field, Detail: fmt.Sprintf(format, args...)}
}
