package server

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jetstream"
)

// newHub opens the engine and starts the hub. The engine is nil with --engine memory.
func newHub(cfg *settings.ServeConfig, log *slog.Logger) (*hub.Hub, *jetstream.Engine, error) {
	memlog, durable := cfg.Retention(debug.SetMemoryLimit(-1))
	config := hub.Config{MaxEventSize: cfg.MaxEventSize(), Retention: memlog}
	if cfg.Engine == settings.EngineMemory {
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
func (s *Server) engineFailed() <-chan error {
	if s.engine == nil {
		return nil
	}
	return s.engine.Failed()
}

// engineError returns the reason why the engine accepts no events now; nil if it accepts them.
func (s *Server) engineError() error {
	if s.engine == nil {
		return nil
	}
	return s.engine.Ready()
}

// warnOfSkew logs a warning if a signed datagram stays valid for longer than the cluster remembers it. A replay to
// another hub would then be accepted. A datagram is valid for twice the skew: its time may be ahead of the clock by
// the skew at first, and behind by the skew at last.
func (s *Server) warnOfSkew() {
	if s.cfg.Engine != settings.EngineNATS {
		return
	}
	if period := s.engine.UniquePeriod(); 2*s.cfg.UDPSkew > period {
		s.log.Warn("--udp-skew is more than half of the time for which the cluster remembers signed datagrams; another hub may accept a replay after that time",
			"skew", s.cfg.UDPSkew.String(), "remembered", period.String())
	}
}
