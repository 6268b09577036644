package main

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jetstream"
)

// memlogShare is the divisor of the runtime's memory limit that bounds the hub's in-memory log when the engine has a
// durable log. The rest is needed: an embedded server also keeps blocks of its log in memory, 8 MiB each.
const memlogShare = 4

// retention returns the bounds of the hub's in-memory log and of the engine's durable log. With the memory engine
// both are the configured bounds. With a durable engine the configured bounds apply to its log, and the in-memory
// log is also bounded by the defaults and by a share of memoryLimit (bytes); older events are read from the durable
// log.
func (c *ServeConfig) retention(memoryLimit int64) (memlog, log hub.Retention) {
	log = hub.Retention{Events: c.RetainEvents, Bytes: int64(c.RetainBytes), Age: c.RetainAge, GapTopics: c.GapTopics}
	memlog = log
	if c.Engine != engineMemory {
		memlog.Events = min(log.Events, hub.DefaultRetainEvents)
		memlog.Bytes = min(log.Bytes, hub.DefaultRetainBytes, max(memoryLimit/memlogShare, 1<<20))
	}
	return memlog, log
}

// maxEventSize returns the limit of an event's data in bytes. It is at most what the engine accepts and what fits
// into its log, so that each event that the hub accepts can also be delivered.
func (c *ServeConfig) maxEventSize() int {
	size := unlimited(c.MaxEventBytes)
	if c.Engine != engineMemory {
		room := min(c.RetainBytes-jetstream.MaxMessageOverhead, jetstream.MaxEventSize) // int64: --retain-bytes may exceed an int of 32 bits
		size = min(size, int(room))
	}
	return size
}

// newHub opens the engine and starts the hub. The engine is nil with --engine memory.
func newHub(cfg *ServeConfig, log *slog.Logger) (*hub.Hub, *jetstream.Engine, error) {
	memlog, durable := cfg.retention(debug.SetMemoryLimit(-1))
	config := hub.Config{MaxEventSize: cfg.maxEventSize(), Retention: memlog}
	if cfg.Engine == engineMemory {
		h, err := hub.New(config)
		return h, nil, err
	}
	engine, err := jetstream.New(jetstream.Config{
		Store:        cfg.Store,
		SyncAlways:   cfg.Sync == "always",
		URL:          cfg.NATSURL,
		Credentials:  cfg.NATSCreds,
		Stream:       cfg.NATSStream,
		Replicas:     cfg.Replicas,
		Retention:    durable,
		Window:       memlog.Events,
		MaxEventSize: config.MaxEventSize,
		Logger:       log,
	})
	if err != nil {
		return nil, nil, nameFlags(err)
	}
	config.Engine = engine
	h, err := hub.New(config)
	return h, engine, nameFlags(err)
}

// engineFlags maps the fields of jetstream.Config to the flags that set them.
var engineFlags = map[string]string{
	"MaxEventSize":     "--max-event-bytes",
	"Replicas":         "--replicas",
	"Retention.Age":    "--retain-age",
	"Retention.Bytes":  "--retain-bytes",
	"Retention.Events": "--retain-events",
}

// nameFlags adds to an error of the engine the flags that set the fields which the error is about.
func nameFlags(err error) error {
	var flags []string
	var collect func(error)
	collect = func(err error) {
		if fault, ok := err.(*jetstream.ConfigError); ok {
			flags = append(flags, engineFlags[fault.Field])
		}
		switch err := err.(type) {
		case interface{ Unwrap() error }:
			collect(err.Unwrap())
		case interface{ Unwrap() []error }:
			for _, one := range err.Unwrap() {
				collect(one)
			}
		}
	}
	if collect(err); len(flags) == 0 {
		return err
	}
	return fmt.Errorf("%w (see %s)", err, strings.Join(flags, ", "))
}

// engineFailed returns a channel that receives the error with which the engine failed for good; nil with --engine
// memory.
func (s *server) engineFailed() <-chan error {
	if s.engine == nil {
		return nil
	}
	return s.engine.Failed()
}

// engineError returns the reason why the engine accepts no events now; nil if it accepts them.
func (s *server) engineError() error {
	if s.engine == nil {
		return nil
	}
	return s.engine.Ready()
}

// warnOfSkew logs a warning if a signed datagram stays valid for longer than the cluster remembers it. A replay to
// another hub would then be accepted. A datagram is valid for twice the skew: its time may be ahead of the clock by
// the skew at first, and behind by the skew at last.
func (s *server) warnOfSkew() {
	if s.cfg.Engine != engineNATS {
		return
	}
	if period := s.engine.UniquePeriod(); 2*s.cfg.UDPSkew > period {
		s.log.Warn("--udp-skew is more than half of the time for which the cluster remembers signed datagrams; another hub may accept a replay after that time",
			"skew", s.cfg.UDPSkew.String(), "remembered", period.String())
	}
}
