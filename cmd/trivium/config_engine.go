package main

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/trivium-hub/trivium/hub/jetstream"
)

// Names of engines.
const (
	engineMemory   = "memory"
	engineEmbedded = "embedded"
	engineNATS     = "nats"
)

// The least that a log on JetStream keeps.
const (
	minLogAge   = 100 * time.Millisecond
	minLogBytes = 2 * jetstream.EventRoom
)

// EngineConfig says who keeps the events (docs/protocol.md#operating-a-hub).
type EngineConfig struct {
	Engine     string        `default:"memory" help:"Who keeps the events: memory (they end with the process), embedded (NATS JetStream in the process, on disk in --store) or nats (JetStream of --nats-url, shared by any number of hubs)."`
	Store      string        `placeholder:"DIR" help:"Directory of the embedded engine's events, made if it is not there."`
	Sync       string        `default:"interval" help:"When the embedded engine has events on disk: interval (every 100ms; a power loss may take what came since, and the end of the process alone nothing) or always (before each is acknowledged)."`
	NATSURL    string        `name:"nats-url" placeholder:"URL" help:"NATS servers, such as nats://a.example:4222; several are separated by commas. Set TRIVIUM_NATS_URL or the file of --config if there is a password in it: others can see a command line."`
	NATSCreds  string        `name:"nats-creds" placeholder:"FILE" help:"File of credentials for NATS, instead of a password in --nats-url."`
	NATSStream string        `name:"nats-stream" default:"trivium" help:"Stream of the events, made if it is not there. Their subjects begin with its name."`
	EngineWait time.Duration `default:"0s" help:"How long to wait at start for NATS that is unavailable, alive but not ready. 0 is without end."`
	Replicas   int           `default:"1" help:"Servers of the NATS cluster that keep the stream: 1, 3 or 5."`
}

// check says what is wrong, and what was set that the engine chosen does not look at: whoever sets
// it expects events to be kept.
func (c *EngineConfig) check() []fault {
	faults := faulty("engine", oneOf(c.Engine, engineMemory, engineEmbedded, engineNATS))
	faults = append(faults, faulty("sync", oneOf(c.Sync, "interval", "always"))...)
	if !slices.Contains([]int{1, 3, 5}, c.Replicas) {
		faults = append(faults, faulty("replicas", fmt.Sprintf("want 1, 3 or 5, got %d", c.Replicas))...)
	}
	if err := jetstream.ValidateStream(c.NATSStream); err != nil {
		faults = append(faults, faulty("nats-stream", err.Error())...)
	}
	faults = append(faults, faulty("engine-wait", between(c.EngineWait, 0, maxDuration))...)
	if len(faults) > 0 {
		return faults
	}
	for _, of := range []struct {
		flag, engine string
		set, needed  bool
	}{
		{"store", engineEmbedded, c.Store != "", true},
		{"sync", engineEmbedded, c.Sync != "interval", false},
		{"nats-url", engineNATS, c.NATSURL != "", true},
		{"nats-stream", engineNATS, c.NATSStream != jetstream.DefaultStream, false},
		{"nats-creds", engineNATS, c.NATSCreds != "", false},
		{"engine-wait", engineNATS, c.EngineWait != 0, false},
		{"replicas", engineNATS, c.Replicas != 1, false},
	} {
		switch {
		case of.set && c.Engine != of.engine:
			faults = append(faults, faulty(of.flag, fmt.Sprintf("wants --engine %s, got %s", of.engine, c.Engine))...)
		case !of.set && of.needed && c.Engine == of.engine:
			faults = append(faults, faulty(of.flag, fmt.Sprintf("want one with --engine %s, got none", of.engine))...)
		}
	}
	if c.Store != "" {
		faults = append(faults, faulty("store", checkDir(c.Store))...)
	}
	if c.NATSURL != "" {
		faults = append(faults, faulty("nats-url", checkNATS(c.NATSURL))...)
	}
	if c.NATSCreds != "" {
		_, err := readSecret(c.NATSCreds)
		faults = append(faults, faulty("nats-creds", said(err))...)
	}
	return faults
}

// checkNATS repeats nothing of the URLs: there may be a password in one.
func checkNATS(list string) string {
	for text := range strings.SplitSeq(list, ",") {
		u, err := url.Parse(strings.TrimSpace(text))
		if err != nil || u.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return "want URLs such as nats://a.example:4222 or tls://a.example, separated by commas"
		}
	}
	return ""
}

func (c *ServeConfig) minRetainAge() time.Duration {
	if c.Engine == engineMemory {
		return time.Millisecond
	}
	return minLogAge
}

func (c *ServeConfig) minRetainBytes() Size {
	if c.Engine == engineMemory {
		return 1
	}
	return minLogBytes
}

// checkLog says what an engine that keeps a log cannot do.
func (c *ServeConfig) checkLog() []fault {
	if c.Engine == engineMemory {
		return nil
	}
	return faulty("max-event-bytes", between(c.MaxEventBytes, 0, Size(jetstream.MaxEventSize)))
}
