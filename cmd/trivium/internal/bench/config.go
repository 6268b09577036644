package bench

import (
	"io"
	"slices"
	"time"
)

// These are the names of the scenarios.
const (
	Fanout = "fanout" // every subscriber receives every event; events are published at a steady rate
	Burst  = "burst"  // like fanout, at the highest possible rate
	Idle   = "idle"   // memory per connection that receives no events, and idle CPU
	Topics = "topics" // each subscriber has its own topic
	Slow   = "slow"   // fanout with 1 % of the subscribers stalled
	Resume = "resume" // all subscribers reconnect at once
	Ingest = "ingest" // events are published without subscribers
	Hubs   = "hubs"   // like fanout, with the subscribers divided among 1, 2 and 3 hubs on one stream
	Replay = "replay" // a subscriber reads events that are only in the durable log
	Scale  = "scale"  // like fanout, with 1, 10, 100 and 1000 subscribers and larger events

	MillionSubscribers = "million" // as many real connections as possible, and a million subscribers in memory
)

// These are the names of the engines that can be compared with the memory engine. The hub's flag --engine
// uses the same names.
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

// These are the names of the transports.
const (
	SSE       = "sse"
	WebSocket = "websocket"
	LongPoll  = "longpoll"
)

// These are the ways to secure a connection.
const (
	TLS   = "tls"   // HTTP/1.1 over TLS
	HTTP2 = "http2" // HTTP/2 over TLS, one connection per subscriber
)

// secureScenarios are the scenarios that can be measured with TLS and HTTP/2.
var secureScenarios = []string{Fanout, Idle}

// SecureScenario reports whether a scenario can be measured with TLS and HTTP/2.
func SecureScenario(name string) bool { return slices.Contains(secureScenarios, name) }

// These are the ways to publish.
const (
	PublishUDP  = "udp"
	PublishHTTP = "http"
)

// These are the roles of child processes.
const (
	ChildFloor   = "floor"   // writes events to sockets in a loop of write(2), and does nothing else
	ChildHandler = "handler" // a net/http handler that waits for an event and answers
	ChildPublish = "publish" // publishes inside its own process
	ChildMillion = "million" // a hub with subscribers inside its own process

	ChildNATS      = "nats"      // a NATS server
	ChildEngine    = "engine"    // publishes inside its own process, to a durable engine
	ChildJetStream = "jetstream" // publishes directly to JetStream, without a hub
	ChildFill      = "fill"      // publishes the events that the scenario replay reads
	ChildConsumer  = "consumer"  // reads directly from JetStream, without a hub
)

// Config configures a run of the benchmark. If a number is 0, the default of the scenario applies.
type Config struct {
	Scenarios   []string
	Transports  []string
	Subscribers int
	Rate        int           // events/s
	Size        int           // bytes of an event's data, MinSize to MaxSize
	Duration    time.Duration // time to measure the hub, in all rounds together; measuring the floor takes the same time again
	Rounds      int           // number of rounds; in each, hub and floor are measured one after the other
	Events      int           // number of events that replay reads
	Secure      []string      // TLS and HTTP2, each compared with the same hub without TLS
	Publish     string        // PublishUDP or PublishHTTP
	CPUs        int           // cores of the hub; 0: one, if there are two
	Goals       bool          // run the measurements that the performance goals need, instead of Scenarios

	Target    string // URL of a running hub; "": start a child
	TargetUDP string // host:port where the target receives datagrams
	Token     string // token for the target

	Engine   string // engine to compare with the memory engine; "": compare the memory engine with the floor
	Store    string // directory for the events of engines during the run; "": the directory for temporary files
	NATSURL  string // URLs of running NATS servers; "": start a child
	Replicas int    // replicas of each stream
	Stream   string // name of the JetStream stream that a child process uses

	Program  string    // path of this program, which is also the program of child processes
	Environ  []string  // environment of children
	Progress io.Writer // a terminal for the progress; nil: no progress is shown
}

// spec describes one measurement: its scenario, its transport and all its other parameters.
type spec struct {
	scenario, transport string
	secure              string // TLS or HTTP2; "": plain TCP
	engine              string // "": memory
	subscribers, rate   int
	size, rounds        int
	duration            time.Duration
	events              int           // number of events that replay reads
	delay               time.Duration // with replay: delay in each direction between the hub and NATS
}

// defaults maps each scenario to the default parameters of its measurements.
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
	Scale:  {subscribers: 1000, rate: 50, size: 256, duration: 6 * time.Second, rounds: 3},

	MillionSubscribers: {subscribers: 1_000_000, size: 128, duration: 20 * time.Second, rounds: 5},
}

// over maps each scenario to the transports over which it runs.
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
	Scale:  {SSE, WebSocket},

	MillionSubscribers: {SSE},
}

// Scenarios are the names of all scenarios, in the order of the report.
var Scenarios = []string{Fanout, Burst, Idle, Topics, Slow, Resume, Ingest, Hubs, Replay, Scale, MillionSubscribers}

// spec returns the measurement of a scenario over a transport. Parameters that are not set in c get the
// defaults of the scenario.
func (c *Config) spec(scenario, transport string) spec {
	s := defaults[scenario]
	s.scenario, s.transport, s.engine = scenario, transport, c.Engine
	if c.Engine != "" && transport == LongPoll {
		s.rate = quietRate // at the default rate, one poll per event would need more than one core
	}
	if c.Subscribers > 0 && scenario != Ingest && scenario != Replay {
		s.subscribers = c.Subscribers
	}
	if c.Events > 0 {
		s.events = c.Events
	}
	if c.Rate > 0 && defaults[scenario].rate > 0 {
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

// result returns a Result that describes the measurement s but contains no measured values yet.
func (s spec) result() *Result {
	return &Result{Scenario: s.scenario, Transport: s.transport, Secure: s.secure, Engine: s.engine, Subscribers: s.subscribers, Rate: s.rate, Size: s.size, Rounds: s.rounds}
}

// sides returns the number of sides of a comparison. A side is a server, or a group of hubs that share a
// log. The sides are measured alternately, and each of them serves s.subscribers subscribers.
func (s spec) sides() int {
	switch {
	case s.scenario == Hubs, s.secure != "" && s.scenario == Fanout:
		return 3 // 1, 2 and 3 hubs on one stream; or a hub with TLS, a hub without TLS, and the floor
	}
	return 2
}

// levels returns the numbers of subscribers with which the scenario named scale is measured: the powers of
// ten below s.subscribers, and s.subscribers itself.
func (s spec) levels() (all []int) {
	for n := 1; n < s.subscribers; n *= 10 {
		all = append(all, n)
	}
	return append(all, s.subscribers)
}

// delays returns the network delays with which the scenario named replay is measured. Each is the delay in one
// direction between the hub and NATS.
func (s spec) delays() []time.Duration {
	if s.engine == EngineNATS {
		return []time.Duration{0, time.Millisecond, 100 * time.Millisecond}
	}
	return []time.Duration{0}
}

// way is one way to publish in the ingest scenario.
type way struct {
	name  string
	udp   bool // publish by datagrams; otherwise over HTTP
	child bool // publish inside one process, neither by UDP nor over HTTP
	batch int  // events per request
}

// maxHubs is the largest number of hubs that the benchmark runs on one stream.
const maxHubs = 3

// inProcess is the name of the way to publish in which the publisher and the hub are in one process.
const inProcess = "in-process"

var ways = []way{
	{name: "udp", udp: true, batch: 1},
	{name: "http", batch: 1},
	{name: "http, 100 per request", batch: 100},
	{name: inProcess, child: true},
}

// engineWays are the ways to publish over the network to a hub with a durable engine.
var engineWays = []way{
	{name: "udp", udp: true, batch: 1},
	{name: singleHTTP, batch: 1},
	{name: "http, 1000 per request", batch: 1000},
}

// singleHTTP is the name of the way to publish in which each HTTP request contains one event.
const singleHTTP = "http"

const (
	// ingestWindow is the number of events that are published before the benchmark waits until they
	// have arrived.
	ingestWindow = 1000
	// windowRoom is the maximum number of bytes that the datagrams of one burst occupy in the hub's
	// socket buffer of 4 MiB. It is much less than 4 MiB, so that no datagrams are lost if the hub
	// stops reading for a moment.
	windowRoom = 1 << 20
	// datagramRoom is the number of bytes that the kernel needs per datagram in addition to the
	// data.
	datagramRoom = 1 << 10
)

// window returns the number of events of this size that are published in one burst.
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
				all = append(all, c.secured(c.spec(scenario, transport))...)
			}
		}
	}
	return all
}

// secured returns one measurement for each protocol in c.Secure that s supports, or only s if c.Secure is
// empty. The scenario idle is always measured without TLS too.
func (c *Config) secured(s spec) []spec {
	if len(c.Secure) == 0 {
		return []spec{s}
	}
	var all []spec
	if s.scenario == Idle {
		all = append(all, s) // not needed for fanout, where each comparison includes a hub without TLS
	}
	for _, secure := range c.Secure {
		if secure == TLS || s.transport == SSE { // the bench supports HTTP/2 only with SSE
			s.secure = secure
			all = append(all, s)
		}
	}
	return all
}
