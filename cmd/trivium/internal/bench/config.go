package bench

import (
	"io"
	"slices"
	"time"
)

// What there is to measure.
const (
	Fanout = "fanout" // every event to every subscriber, at a steady rate
	Burst  = "burst"  // the same, as fast as it goes
	Idle   = "idle"   // connections that get nothing: memory, and CPU at rest
	Topics = "topics" // each subscriber has a topic of its own
	Slow   = "slow"   // fanout with 1 % of the subscribers stalled
	Resume = "resume" // all reconnect at once
	Ingest = "ingest" // publishing alone
	Hubs   = "hubs"   // fanout, its subscribers shared out among 1, 2 and 3 hubs on one stream
)

// Engines that are measured next to memory, by the names that the hub has for them.
const (
	EngineEmbedded = "embedded"
	EngineNATS     = "nats"
)

// EngineScenarios are those that there are of an engine.
func EngineScenarios(engine string) []string {
	if engine == EngineNATS {
		return []string{Fanout, Ingest, Hubs}
	}
	return []string{Fanout, Ingest}
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

// What a child of the bench does instead of the bench.
const (
	ChildFloor   = "floor"   // the bare loop of write(2)
	ChildHandler = "handler" // the bare net/http handler that waits and answers
	ChildPublish = "publish" // publishing inside one process

	ChildNATS      = "nats"      // a NATS server
	ChildEngine    = "engine"    // publishing inside one process, with an engine
	ChildJetStream = "jetstream" // publishing without a hub
)

// Config is what a bench does. Numbers that are 0 are the scenario's own.
type Config struct {
	Scenarios   []string
	Transports  []string
	Subscribers int
	Rate        int           // events/s
	Size        int           // bytes of an event's data, MinSize to MaxSize
	Duration    time.Duration // measured time of the hub, and of the floor as much, all rounds together
	Rounds      int           // in which the two take turns
	Publish     string        // PublishUDP or PublishHTTP
	Goals       bool          // run what the goals need, instead of Scenarios

	Target    string // URL of a hub that runs already; "": a child
	TargetUDP string // where it takes datagrams, host:port
	Token     string // for it

	Engine   string // measure it next to memory; "": memory's hub next to the floor
	Store    string // directory in which engines keep events until the end; "": that for temporary files
	NATSURL  string // of servers that run already; "": a child
	Replicas int    // of streams
	Stream   string // of a child

	Program  string    // this program; its children are started from it
	Environ  []string  // for children
	Progress io.Writer // a terminal; nil: no progress is shown
}

// spec is one measurement: a scenario over a transport, all its numbers known.
type spec struct {
	scenario, transport string
	engine              string // "": memory
	subscribers, rate   int
	size, rounds        int
	duration            time.Duration
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
}

// Scenarios are all there are, in the order of the report.
var Scenarios = []string{Fanout, Burst, Idle, Topics, Slow, Resume, Ingest, Hubs}

// spec completes the numbers of a scenario.
func (c *Config) spec(scenario, transport string) spec {
	s := defaults[scenario]
	s.scenario, s.transport, s.engine = scenario, transport, c.Engine
	if c.Engine != "" && transport == LongPoll {
		s.rate = quietRate // a poll for each event costs a core more than it has
	}
	if c.Subscribers > 0 && scenario != Ingest {
		s.subscribers = c.Subscribers
	}
	if c.Rate > 0 && scenario != Burst && scenario != Ingest {
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

// result is an empty one.
func (s spec) result() *Result {
	return &Result{Scenario: s.scenario, Transport: s.transport, Engine: s.engine, Subscribers: s.subscribers, Rate: s.rate, Size: s.size, Rounds: s.rounds}
}

// sides is how many servers take turns, each with all its subscribers.
func (s spec) sides() int {
	if s.scenario == Hubs {
		return maxHubs
	}
	return 2
}

// way is one into the hub, for ingest.
type way struct {
	name  string
	udp   bool // datagrams, else HTTP
	child bool // neither: inside of a process
	batch int  // events in a request
}

// maxHubs is how many hubs share one stream at most.
const maxHubs = 3

// inProcess is the way of who has the hub in his own program.
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
	{name: "http", batch: 1},
	{name: "http, 1000 a request", batch: 1000},
}

const (
	// ingestWindow is how many events are published before it is looked whether they have come in.
	ingestWindow = 1000
	// windowRoom bounds the room that datagrams of a window take in the hub's socket buffer of 4 MiB:
	// whoever reads at once has lost nothing.
	windowRoom = 1 << 20
	// datagramRoom is what the kernel takes for each beside its data.
	datagramRoom = 1 << 10
)

// window is how many events of a size are published at once.
func (w way) window(size int) int {
	if w.udp {
		return min(ingestWindow, windowRoom/(size+datagramRoom))
	}
	return ingestWindow
}

// specs are the measurements that were asked for.
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
