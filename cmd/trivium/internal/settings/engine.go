package settings

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/trivium-hub/trivium/hub/jetstream"
)

// These are the names of the engines.
const (
	EngineMemory   = "memory"
	EngineEmbedded = "embedded"
	EngineNATS     = "nats"
)

// These are the lower limits of the retention of a JetStream log.
const (
	minLogAge   = 100 * time.Millisecond
	minLogBytes = 2 * jetstream.MaxMessageOverhead
)

// EngineConfig selects and configures the engine, which stores the events (docs/protocol.md#operating-a-hub).
type EngineConfig struct {
	Engine     string        `default:"memory" help:"Where events are stored: memory (lost when the process exits), embedded (NATS JetStream inside the process, on disk in --store) or nats (JetStream at --nats-url, shared by any number of hubs)."`
	Store      string        `placeholder:"DIR" help:"Directory of the embedded engine's events; created if missing."`
	Sync       string        `default:"interval" help:"When the embedded engine syncs events to disk: interval (every 100ms; a power loss may lose the events since the last sync, a crash of the process loses none) or always (before each event is acknowledged, which is slower)."`
	NATSURL    string        `name:"nats-url" placeholder:"URL" help:"NATS servers, such as nats://a.example:4222; separate several with commas. If it contains a password, set TRIVIUM_NATS_URL or use the file of --config, because other users can see the command line."`
	NATSCreds  string        `name:"nats-creds" placeholder:"FILE" help:"NATS credentials file, instead of a password in --nats-url."`
	NATSStream string        `name:"nats-stream" default:"trivium" help:"JetStream stream of the events; created if missing. Its name is also the prefix of their subjects."`
	EngineWait time.Duration `default:"0s" help:"Maximum time to wait for NATS at start; meanwhile /healthz succeeds and /readyz fails. 0 means no limit."`
	Replicas   int           `default:"1" help:"Number of NATS servers that store the stream: 1, 3 or 5."`
}

// check returns a fault for each invalid setting. A setting that belongs to another engine than the
// selected one is also a fault, because the user may expect that the other engine stores the events.
func (c *EngineConfig) check() []Fault {
	faults := Faults("engine", OneOf(c.Engine, EngineMemory, EngineEmbedded, EngineNATS))
	faults = append(faults, Faults("sync", OneOf(c.Sync, "interval", "always"))...)
	if !slices.Contains([]int{1, 3, 5}, c.Replicas) {
		faults = append(faults, Faults("replicas", fmt.Sprintf("want 1, 3 or 5, got %d", c.Replicas))...)
	}
	if err := jetstream.ValidateStream(c.NATSStream); err != nil {
		faults = append(faults, Faults("nats-stream", err.Error())...)
	}
	faults = append(faults, Faults("engine-wait", Between(c.EngineWait, 0, MaxDuration))...)
	if len(faults) > 0 {
		return faults
	}
	for _, of := range []struct {
		flag, engine string
		set, needed  bool
	}{
		{"store", EngineEmbedded, c.Store != "", true},
		{"sync", EngineEmbedded, c.Sync != "interval", false},
		{"nats-url", EngineNATS, c.NATSURL != "", true},
		{"nats-stream", EngineNATS, c.NATSStream != jetstream.DefaultStream, false},
		{"nats-creds", EngineNATS, c.NATSCreds != "", false},
		{"engine-wait", EngineNATS, c.EngineWait != 0, false},
		{"replicas", EngineNATS, c.Replicas != 1, false},
	} {
		switch {
		case of.set && c.Engine != of.engine:
			faults = append(faults, Faults(of.flag, fmt.Sprintf("requires --engine %s, got %s", of.engine, c.Engine))...)
		case !of.set && of.needed && c.Engine == of.engine:
			faults = append(faults, Faults(of.flag, fmt.Sprintf("required with --engine %s", of.engine))...)
		}
	}
	if c.Store != "" {
		faults = append(faults, Faults("store", checkDir(c.Store))...)
	}
	if c.NATSURL != "" {
		faults = append(faults, Faults("nats-url", CheckNATS(c.NATSURL))...)
	}
	if c.NATSCreds != "" {
		_, err := ReadSecret(c.NATSCreds)
		faults = append(faults, Faults("nats-creds", ErrorText(err))...)
	}
	return faults
}

// CheckNATS returns a description of the fault in a comma-separated list of URLs, or "" if the list is
// valid. The description does not contain the URLs, because they may contain a password.
func CheckNATS(list string) string {
	for text := range strings.SplitSeq(list, ",") {
		u, err := url.Parse(strings.TrimSpace(text))
		if err != nil || u.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return "want URLs such as nats://a.example:4222 or tls://a.example, separated by commas"
		}
	}
	return ""
}

func (c *ServeConfig) minRetainAge() time.Duration {
	if c.Engine == EngineMemory {
		return time.Millisecond
	}
	return minLogAge
}

func (c *ServeConfig) minRetainBytes() Size {
	if c.Engine == EngineMemory {
		return 1
	}
	return minLogBytes
}

// checkLog returns a fault if --max-event-bytes is larger than a durable engine allows.
func (c *ServeConfig) checkLog() []Fault {
	if c.Engine == EngineMemory {
		return nil
	}
	return Faults("max-event-bytes", Between(c.MaxEventBytes, 0, Size(jetstream.MaxEventSize)))
}
