package server

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/stats"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jetstream"
)

// durableEngine is an engine whose log still exists after the process has exited.
type durableEngine interface {
	hub.Engine
	Failed() <-chan error // receives an error if the engine has failed permanently
	Ready() error         // returns the reason why the engine cannot accept events now, or nil if it can
	logStats() *stats.Log
}

// engineTable maps the name of each durable engine to the function that opens it. The memory engine is
// part of package hub.
var engineTable = map[string]func(*settings.ServeConfig, hub.Config, hub.Retention, *slog.Logger) (durableEngine, error){
	settings.EngineEmbedded: openJetStream,
	settings.EngineNATS:     openJetStream,
}

// newHub opens the configured engine and creates the hub. The returned engine is nil with --engine memory.
func newHub(cfg *settings.ServeConfig, retention settings.Retention, log *slog.Logger) (*hub.Hub, durableEngine, error) {
	config := hub.Config{MaxEventSize: cfg.MaxEventSize(), Retention: retention.Memlog}
	open := engineTable[cfg.Engine]
	if open == nil {
		h, err := hub.New(config)
		return h, nil, err
	}
	engine, err := open(cfg, config, retention.Log, log)
	if err != nil {
		return nil, nil, nameFlags(err)
	}
	config.Engine = engine
	h, err := hub.New(config)
	return h, engine, nameFlags(err)
}

// jetStream implements durableEngine with a JetStream engine, for --engine embedded and --engine nats.
type jetStream struct{ *jetstream.Engine }

func openJetStream(cfg *settings.ServeConfig, config hub.Config, durable hub.Retention, log *slog.Logger) (durableEngine, error) {
	engine, err := jetstream.New(jetstream.Config{
		Store:        cfg.Store,
		SyncAlways:   cfg.Sync == "always",
		URL:          cfg.NATSURL,
		Credentials:  cfg.NATSCreds,
		Stream:       cfg.NATSStream,
		Replicas:     cfg.Replicas,
		Retention:    durable,
		Window:       config.Retention.Events,
		MaxEventSize: config.MaxEventSize,
		Logger:       log,
	})
	return jetStream{engine}, err
}

// logStats returns the statistics of the engine's log.
func (j jetStream) logStats() *stats.Log {
	s := j.Stats()
	l := &stats.Log{
		FirstSeq: s.FirstSeq, LastSeq: s.LastSeq, Events: s.Events, Bytes: s.Bytes, Replicas: s.Replicas,
		CurrentReplicas: s.CurrentReplicas, Lag: s.Lag, ReplicaDiffers: s.Differ, ReadFromLeader: s.FromLeader,
		ReadFromOthers: s.FromOthers,
	}
	if s.Free >= 0 {
		l.DiskFree = &s.Free
	}
	return l
}

// jetStreamOf returns the JetStream engine in e, or nil if e is nil.
func jetStreamOf(e durableEngine) *jetstream.Engine {
	j, _ := e.(jetStream)
	return j.Engine
}

// engineFlags maps the fields of jetstream.Config to the flags that set them.
var engineFlags = map[string]string{
	"MaxEventSize":     "--max-event-bytes",
	"Replicas":         "--replicas",
	"Retention.Age":    "--retain-age",
	"Retention.Bytes":  "--retain-bytes",
	"Retention.Events": "--retain-events",
}

// nameFlags adds the names of flags to an error of the engine: for each jetstream.ConfigError in the error,
// the flag that sets the field concerned.
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

// engineFailed returns a channel that receives an error if the engine fails permanently. It returns nil
// with --engine memory.
func (s *Server) engineFailed() <-chan error {
	if s.engine == nil {
		return nil
	}
	return s.engine.Failed()
}

// engineError returns the reason why the engine cannot accept events now, or nil if it can.
func (s *Server) engineError() error {
	if s.engine == nil {
		return nil
	}
	return s.engine.Ready()
}

// warnOfSkew logs a warning if a signed datagram is valid for a longer time than the cluster remembers
// it, because another hub could then publish it a second time. A datagram is valid for at most twice
// --udp-skew: the hubs accept it from one skew before the time in its signature until one skew after
// that time.
func (s *Server) warnOfSkew() {
	if s.cfg.Engine != settings.EngineNATS {
		return
	}
	if period := jetStreamOf(s.engine).UniquePeriod(); 2*s.cfg.UDPSkew > period {
		s.log.Warn("--udp-skew is more than half of the time for which the cluster remembers signed datagrams; another hub may accept a replay after that time",
			"skew", s.cfg.UDPSkew.String(), "remembered", period.String())
	}
}
