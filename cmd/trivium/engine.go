package main

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jetstream"
)

// memlogShare is the part of the runtime's memory limit, as a divisor, that the window has where the engine has a
// log of its own. The embedded server keeps blocks of its log in memory beside it, of 8 MiB each.
const memlogShare = 4

// retention returns what the hub keeps in memory, the window, and what its engine keeps. Where that is a
// log of its own, it is of the lengths configured, and the window no longer than by default and than the memory
// limit in bytes permits: what is older is read from the log.
func (c *ServeConfig) retention(memoryLimit int64) (window, log hub.Retention) {
	log = hub.Retention{Events: c.RetainEvents, Bytes: int64(c.RetainBytes), Age: c.RetainAge, GapTopics: c.GapTopics}
	window = log
	if c.Engine != engineMemory {
		window.Events = min(log.Events, hub.DefaultRetainEvents)
		window.Bytes = min(log.Bytes, hub.DefaultRetainBytes, max(memoryLimit/memlogShare, 1<<20))
	}
	return window, log
}

// maxEventSize is the most data that an event may have, in bytes: no more than the engine takes, and than
// its log has room for. What is answered must be there to be told.
func (c *ServeConfig) maxEventSize() int {
	size := unlimited(c.MaxEventBytes)
	if c.Engine != engineMemory {
		room := min(c.RetainBytes-jetstream.EventRoom, jetstream.MaxEventSize) // an int may be too short for what is retained
		size = min(size, int(room))
	}
	return size
}

// newHub opens the engine and starts the hub. The engine is nil where it is the memory's own.
func newHub(cfg *ServeConfig, log *slog.Logger) (*hub.Hub, *jetstream.Engine, error) {
	window, kept := cfg.retention(debug.SetMemoryLimit(-1))
	config := hub.Config{MaxEventSize: cfg.maxEventSize(), Retention: window}
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
		Retention:    kept,
		Window:       window.Events,
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

// nameFlags adds the flags that are at fault to an error of the engine.
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

// lost tells why the engine cannot go on.
func (s *server) engineFailed() <-chan error {
	if s.engine == nil {
		return nil
	}
	return s.engine.Failed()
}

// away says why the engine takes nothing now.
func (s *server) engineError() error {
	if s.engine == nil {
		return nil
	}
	return s.engine.Ready()
}

// warnOfSkew warns if a signed datagram may still be in time on one hub when the cluster has forgotten that
// another has taken it: its time may be ahead by the skew when it is taken, and behind by it when it is
// replayed.
func (s *server) warnOfSkew() {
	if s.cfg.Engine != engineNATS {
		return
	}
	if period := s.engine.UniquePeriod(); 2*s.cfg.UDPSkew > period {
		s.log.Warn("--udp-skew is more than half of the time for which the cluster remembers signed datagrams; after that another hub may take one again",
			"skew", s.cfg.UDPSkew.String(), "remembered", period.String())
	}
}
