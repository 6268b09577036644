package bench

import (
	"io"
	"slices"
	"time"
)

// Scenarios.
const (
	Fanout = "fanout" // every event to every subscriber, at a steady rate
	Burst  = "burst"  // the same, as fast as it goes
	Idle   = "idle"   // connections that receive nothing: memory, and CPU at rest
	Topics = "topics" // each subscriber has a topic of its own
	Slow   = "slow"   // fanout with 1 % of the subscribers stalled
	Resume = "resume" // all reconnect at once
	Ingest = "ingest" // publishing alone
	Hubs   = "hubs"   // fanout, with subscribers spread over 1, 2 and 3 hubs on one stream
	Replay = "replay" // a subscriber reads events that are only in the durable log
)

// Engines to compare with the memory engine, by their names in the hub's configuration.
const (
	EngineEmbedded = "embedded"
	EngineNATS     = "nats"
)

// EngineScenarios returns the scenarios available for an engine.
func EngineScenarios(engine string) []string {
	if engine == EngineNATS {
		return []string{Fanout, Ingest, Hubs, Replay}
	}
	return []string{Fanout, Ingest, Replay}
}

// Transports.
const (
	SSE       = "sse"
	WebSocket = "websocket"
	LongPoll  = "longpoll"
)

// Ways to publish.
const (
	PublishUDP  = "udp"
	PublishHTTP = "http"
)

// Roles of child processes.
const (
	ChildFloor   = "floor"   // the bare loop of write(2)
	ChildHandler = "handler" // the bare net/http handler that waits and answers
	ChildPublish = "publish" // publishing inside one process

	ChildNATS      = "nats"      // a NATS server
	ChildEngine    = "engine"    // publishing inside one process, with an engine
	ChildJetStream = "jetstream" // publishing without a hub
	ChildFill      = "fill"      // publishing what replay reads
	ChildConsumer  = "consumer"  // reading without a hub
)

// Config configures a bench. A number of 0 means the scenario's default.
type Config struct {
	Scenarios   []string
	Transports  []string
	Subscribers int
	Rate        int           // events/s
	Size        int           // bytes of an event's data, MinSize to MaxSize
	Duration    time.Duration // measured time of the hub over all rounds; the floor takes the same again
	Rounds      int           // in which hub and floor take turns
	Events      int           // that replay reads
	Publish     string        // PublishUDP or PublishHTTP
	Goals       bool          // run what the goals need, instead of Scenarios

	Target    string // URL of a running hub; "" starts a child
	TargetUDP string // host:port where the target receives datagrams
	Token     string // for the target

	Engine   string // engine to compare with memory; "" compares the memory engine with the floor
	Store    string // directory for the engines' events during the run; "" means the directory for temporary files
	NATSURL  string // running NATS servers; "" starts a child
	Replicas int    // of streams
	Stream   string // name of a child's stream

	Program  string    // path of this program, for starting children
	Environ  []string  // for children
	Progress io.Writer // a terminal; nil shows no progress
}

// spec is one measurement: a scenario over a transport, with all numbers set.
type spec struct {
	scenario, transport string
	engine              string // "": memory
	subscribers, rate   int
	size, rounds        int
	duration            time.Duration
	events              int           // of replay
	delay               time.Duration // of replay: from the hub to NATS and back from NATS to the hub, each
}

// defaults of each scenario.
var defaults = map[string]spec{
	Fanout: {subscribers: 1000, rate: 100, size: 128, duration: 10 * time.Second, rounds: 5},
	Burst:  {subscribers: 1000, size: 128, duration: 5 * time.Second, rounds: 5},
	Idle:   {subscribers: 10_000, rate: 10, size: 128, duration: 15 * time.Second, rounds: 1},
	Topics: {subscribers: 10_000, rate: 10_000, size: 128, duration: 6 * time.Second, rounds: 3},
	Slow:   {subscribers: 1000, rate: 100, size: 1024, duration: 9 * time.Second, rounds: 3},
	Resume: {subscribers: 10_000, rate: 10, size: 128, duration: 5 * time.Second, rounds: 1},
	Ingest: {size: 128, duration: 6 * time.Second, rounds: 3},
	Hubs:   {subscribers: 1000, rate: 100, size: 128, duration: 10 * time.Second, rounds: 5},
	Replay: {subscribers: 1, size: 128, rounds: 3, events: 200_000},
}

// over are the transports that a scenario runs over.
var over = map[string][]string{
	Fanout: {SSE, WebSocket, LongPoll},
	Burst:  {SSE, WebSocket},
	Idle:   {SSE, WebSocket, LongPoll},
	Topics: {SSE, WebSocket},
	Slow:   {SSE, WebSocket},
	Resume: {SSE, WebSocket},
	Ingest: {""},
	Hubs:   {SSE},
	Replay: {SSE},
}

// Scenarios are all there are, in the order of the report.
var Scenarios = []string{Fanout, Burst, Idle, Topics, Slow, Resume, Ingest, Hubs, Replay}

// spec returns the scenario with its defaults filled in.
func (c *Config) spec(scenario, transport string) spec {
	s := defaults[scenario]
	s.scenario, s.transport, s.engine = scenario, transport, c.Engine
	if c.Engine != "" && transport == LongPoll {
		s.rate = quietRate // one poll per event at the full rate exceeds a core
	}
	if c.Subscribers > 0 && scenario != Ingest && scenario != Replay {
		s.subscribers = c.Subscribers
	}
	if c.Events > 0 {
		s.events = c.Events
	}
	if c.Rate > 0 && scenario != Burst && scenario != Ingest && scenario != Replay {
		s.rate = c.Rate
	}
	if c.Size > 0 {
		s.size = c.Size
	}
	if c.Duration > 0 {
		s.duration = c.Duration
	}
	if c.Rounds > 0 && scenario != Idle && scenario != Resume {
		s.rounds = c.Rounds
	}
	return s
}

// result returns an empty result for s.
func (s spec) result() *Result {
	return &Result{Scenario: s.scenario, Transport: s.transport, Engine: s.engine, Subscribers: s.subscribers, Rate: s.rate, Size: s.size, Rounds: s.rounds}
}

// sides returns how many servers take turns, each with all its subscribers.
func (s spec) sides() int {
	if s.scenario == Hubs {
		return maxHubs
	}
	return 2
}

// delays returns the delays with which replay is measured.
func (s spec) delays() []time.Duration {
	if s.engine == EngineNATS {
		return []time.Duration{0, time.Millisecond, 100 * time.Millisecond}
	}
	return []time.Duration{0}
}

// way is one way to publish, for the ingest scenario.
type way struct {
	name  string
	udp   bool // datagrams; otherwise HTTP
	child bool // published inside one process, neither by UDP nor HTTP
	batch int  // events in a request
}

// maxHubs is the largest number of hubs on one stream.
const maxHubs = 3

// inProcess is publishing from within the hub's own process.
const inProcess = "in-process"

var ways = []way{
	{name: "udp", udp: true, batch: 1},
	{name: "http", batch: 1},
	{name: "http, 100 a request", batch: 100},
	{name: inProcess, child: true},
}

// engineWays are the ways over the network to a hub with an engine.
var engineWays = []way{
	{name: "udp", udp: true, batch: 1},
	{name: singleHTTP, batch: 1},
	{name: "http, 1000 a request", batch: 1000},
}

// singleHTTP is the way of one event a request.
const singleHTTP = "http"

const (
	// ingestWindow is how many events are published before it is looked whether they have come in.
	ingestWindow = 1000
	// windowRoom bounds the room that datagrams of a window take in the hub's socket buffer of 4 MiB:
	// whoever reads at once has lost nothing.
	windowRoom = 1 << 20
	// datagramRoom is what the kernel takes for each beside its data.
	datagramRoom = 1 << 10
)

// window returns how many events of a size are published in one burst.
func (w way) window(size int) int {
	if w.udp {
		return min(ingestWindow, windowRoom/(size+datagramRoom))
	}
	return ingestWindow
}

// specs returns the requested measurements.
func (c *Config) specs() []spec {
	var all []spec
	for _, scenario := range Scenarios {
		if !slices.Contains(c.Scenarios, scenario) {
			continue
		}
		for _, transport := range over[scenario] {
			if transport == "" || slices.Contains(c.Transports, transport) {
				all = append(all, c.spec(scenario, transport))
			}
		}
	}
	return all
}
