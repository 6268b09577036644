package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/bench"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/build"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/terminal"
)

// These are the upper limits of the settings.
const (
	maxBenchSubscribers = 1_000_000
	maxBenchRate        = 1_000_000
	maxBenchRounds      = 1000
	maxBenchCPUs        = 1024
	maxBenchEvents      = 100_000_000
)

// BenchCmd measures a hub and the floor, a minimal server that is the baseline.
type BenchCmd struct {
	Subscribers int           `placeholder:"N" help:"Number of subscribers. Default: 1000 or 10000, depending on the scenario."`
	Rate        int           `placeholder:"N" help:"Events per second. Default: 100 for fanout; other scenarios have other defaults."`
	Size        settings.Size `placeholder:"SIZE" help:"Size of an event's data. Default: 128B, or 1KiB for slow."`
	Duration    time.Duration `placeholder:"TIME" help:"Time to measure a hub per scenario and transport, in all rounds together. Default: 5s to 15s, depending on the scenario."`
	Rounds      int           `placeholder:"N" help:"Number of rounds. In each round, hub and floor are measured one after the other. Default: 3 or 5, depending on the scenario."`
	Transport   []string      `default:"sse,websocket,longpoll" help:"Transports of the subscribers. A scenario skips transports that it does not support."`
	Events      int           `placeholder:"N" help:"Number of events that replay reads. Default: 200000."`
	CPUs        int           `name:"cpus" placeholder:"N" help:"Number of cores, and of fan-out workers, of the hub. The load generator runs on another core if there is one, and otherwise on the last core of the hub. Default: 1."`
	Publish     string        `placeholder:"WAY" help:"How to publish: udp or http. Default: udp, or http with --target and without --udp."`
	TLS         bool          `name:"tls" help:"Measure fanout and idle also with subscribers over HTTP/1.1 and TLS, compared with the same hub without TLS and with the floor, which has no TLS. Default scenario: fanout."`
	HTTP2       bool          `name:"http2" help:"Measure fanout and idle also with SSE over HTTP/2 and TLS, with one connection per subscriber."`
	Target      string        `placeholder:"URL" help:"Measure the hub at this http URL instead of starting one. The report then contains no figures for CPU and memory. The bench uses the topics bench and bench.*."`
	UDP         string        `name:"udp" placeholder:"HOST:PORT" help:"UDP address of the hub of --target."`
	Token       string        `env:"TRIVIUM_TOKEN" help:"Token for the hub of --target. The environment variable is safer: other users can see the command line."`
	Engine      string        `placeholder:"NAME" help:"Engine to compare with the memory engine and with JetStream's own publishing: embedded or nats."`
	Store       string        `placeholder:"DIR" help:"Directory in which the bench creates a directory for the events of engines, and removes it at the end. Default: the directory for temporary files, which may be in memory."`
	NATSURL     string        `name:"nats-url" placeholder:"URL" help:"Running NATS servers to use instead of starting one. The bench creates and deletes streams trivium-bench-*."`
	Replicas    int           `default:"1" help:"Number of servers of --nats-url that store each stream: 1, 3 or 5."`
	NATSStream  string        `name:"nats-stream" hidden:"" help:"Name of the NATS stream; set by the bench for its child processes (internal)."`
	Goals       bool          `help:"Measure and print each performance goal with its measured value. Takes about seven minutes."`
	JSON        bool          `name:"json" help:"Print the report as JSON."`
	SVG         string        `name:"svg" placeholder:"FILE" help:"File for a chart of the CPU time and latency of hub and floor."`
	Child       string        `hidden:"" help:"Run as a child process of bench (internal)."`
	Scenario    []string      `arg:"" optional:"" help:"fanout, burst, idle, topics, slow, resume, ingest, scale or million. Default: fanout and burst. With --engine: fanout, ingest or replay, and with --engine nats also hubs. Default: all of these."`
}

// Help returns the description of the command in its help text.
func (BenchCmd) Help() string {
	return "Hub and floor run on one core and the load generator on another, if there are two. The floor is the baseline: a loop of write(2) " +
		"to as many sockets, or for long-poll a minimal net/http handler, with the same events at the same rate. " +
		"With --engine, the baseline is a hub with the memory engine, and publishing is compared with JetStream's own " +
		"asynchronous publishing to a stream with the same settings. " +
		"Exit code 1 if an event was lost, duplicated, reordered or changed.\n\n" +
		"Scenarios:\n\n" +
		"  - fanout: every subscriber receives every event, at a steady rate.\n" +
		"  - burst: like fanout, in bursts of 64 events, as fast as possible.\n" +
		"  - idle: memory per idle connection, and idle CPU.\n" +
		"  - topics: every subscriber has its own topic.\n" +
		"  - slow: like fanout, with 1 % of subscribers that do not read.\n" +
		"  - resume: all subscribers reconnect at once.\n" +
		"  - ingest: publishing without subscribers.\n" +
		"  - hubs: like fanout, with 1, 2 and 3 hubs on one stream of NATS.\n" +
		"  - replay: reads events that are only in the durable log; compared with JetStream's ordered consumer. With --engine nats, " +
		"repeated with 1 ms and 100 ms of added latency to NATS in each direction.\n" +
		"  - scale: fanout with 1, 10, 100 and 1000 subscribers at 50 events per second of 256 bytes.\n" +
		"  - million: opens as many real connections as the limit on open files allows, then 1,000,000 subscribers in one process; " +
		"the baseline writes the same number of times without a hub. Compares each figure with its goal. Needs 2 GB of memory.\n"
}

func (c *BenchCmd) check() []settings.Fault {
	trimSpace(&c.Target, &c.Token)
	if c.Child != "" {
		return nil // the parent bench has checked the settings
	}
	var faults []settings.Fault
	for _, number := range []struct {
		flag      string
		got, most int
	}{{"subscribers", c.Subscribers, maxBenchSubscribers}, {"rate", c.Rate, maxBenchRate}, {"events", c.Events, maxBenchEvents}, {"rounds", c.Rounds, maxBenchRounds}, {"cpus", c.CPUs, maxBenchCPUs}} {
		faults = append(faults, settings.Faults(number.flag, settings.Between(number.got, 0, number.most))...)
	}
	if c.Size != 0 {
		faults = append(faults, settings.Faults("size", settings.Between(c.Size, bench.MinSize, bench.MaxSize))...)
	}
	faults = append(faults, settings.Faults("duration", settings.Between(c.Duration, 0, settings.MaxDuration))...)
	for _, name := range c.Transport {
		faults = append(faults, settings.Faults("transport", settings.OneOf(name, bench.SSE, bench.WebSocket, bench.LongPoll))...)
	}
	for _, name := range c.Scenario {
		if detail := settings.OneOf(name, bench.Scenarios...); detail != "" {
			faults = append(faults, settings.Fault{Setting: "<scenario>", Detail: detail})
		}
	}
	if c.Goals && len(c.Scenario) > 0 {
		faults = append(faults, settings.Fault{Setting: "<scenario>", Detail: "cannot be used with --goals, which chooses the scenarios"})
	}
	return slices.Concat(faults, c.checkSecure(), c.checkTarget(), c.checkEngine())
}

// secure returns bench.TLS if --tls is set, and bench.HTTP2 if --http2 is set.
func (c *BenchCmd) secure() (ways []string) {
	if c.TLS {
		ways = append(ways, bench.TLS)
	}
	if c.HTTP2 {
		ways = append(ways, bench.HTTP2)
	}
	return ways
}

// checkSecure checks the combination of --tls or --http2 with the other flags, and returns the faults.
func (c *BenchCmd) checkSecure() []settings.Fault {
	if len(c.secure()) == 0 {
		return nil
	}
	setting := map[bool]string{true: "--tls", false: "--http2"}[c.TLS]
	var faults []settings.Fault
	add := func(used bool, detail string) {
		if used {
			faults = append(faults, settings.Fault{Setting: setting, Detail: detail})
		}
	}
	add(c.Target != "", "cannot be used with --target")
	add(c.Engine != "", "cannot be used with --engine")
	add(c.Goals, "cannot be used with --goals, which chooses the measurements")
	add(c.Publish == bench.PublishHTTP, "cannot be used with --publish http")
	add(!c.TLS && !slices.Contains(c.Transport, bench.SSE), "requires the transport sse")
	for _, name := range c.Scenario {
		add(slices.Contains(bench.Scenarios, name) && !bench.SecureScenario(name), fmt.Sprintf("measures fanout and idle, not %s", name))
	}
	return faults
}

// checkTarget checks --target and the flags that depend on it, and returns the faults. It also sets the
// default of --publish.
func (c *BenchCmd) checkTarget() []settings.Fault {
	var faults []settings.Fault
	if c.Publish != "" {
		faults = settings.Faults("publish", settings.OneOf(c.Publish, bench.PublishUDP, bench.PublishHTTP))
	}
	if c.Target == "" {
		if c.UDP != "" {
			faults = append(faults, settings.Fault{Setting: "--udp", Detail: "requires --target"})
		}
		return faults
	}
	if c.Publish == "" && c.UDP == "" {
		c.Publish = bench.PublishHTTP
	}
	base, err := url.Parse(c.Target)
	if err != nil || base.Scheme != "http" || base.Host == "" {
		faults = append(faults, settings.Fault{Setting: "--target", Detail: fmt.Sprintf("want a URL such as http://127.0.0.1:3000, got %q", c.Target)})
	}
	if c.UDP != "" {
		faults = append(faults, settings.Faults("udp", settings.CheckAddress(c.UDP))...)
	} else if c.Publish == bench.PublishUDP {
		faults = append(faults, settings.Fault{Setting: "--publish", Detail: "udp requires --udp if --target is set"})
	}
	if c.Goals {
		faults = append(faults, settings.Fault{Setting: "--goals", Detail: "cannot be used with --target"})
	}
	if c.CPUs > 0 {
		faults = append(faults, settings.Fault{Setting: "--cpus", Detail: "cannot be used with --target"})
	}
	for _, name := range []string{bench.Idle, bench.MillionSubscribers} {
		if slices.Contains(c.Scenario, name) {
			faults = append(faults, settings.Fault{Setting: "<scenario>", Detail: name + " cannot be measured with --target, because it reads the memory of the hub's process"})
		}
	}
	return faults
}

// checkEngine checks --engine and the flags that depend on it, and returns the faults.
func (c *BenchCmd) checkEngine() []settings.Fault {
	if c.Engine != "" {
		if detail := settings.OneOf(c.Engine, bench.EngineEmbedded, bench.EngineNATS); detail != "" {
			return settings.Faults("engine", detail)
		}
	}
	var faults []settings.Fault
	for _, name := range c.Scenario {
		switch ofEngine := slices.Contains(bench.EngineScenarios(c.Engine), name); {
		case c.Engine == "" && name == bench.Hubs:
			faults = append(faults, settings.Fault{Setting: "<scenario>", Detail: "hubs requires --engine nats"})
		case c.Engine == "" && name == bench.Replay:
			faults = append(faults, settings.Fault{Setting: "<scenario>", Detail: "replay requires --engine, because it reads a durable log"})
		case c.Engine != "" && !ofEngine && slices.Contains(bench.Scenarios, name):
			faults = append(faults, settings.Fault{Setting: "<scenario>", Detail: fmt.Sprintf("%s is not measured with --engine %s", name, c.Engine)})
		}
	}
	if c.Target != "" && c.Engine != "" {
		faults = append(faults, settings.Fault{Setting: "--engine", Detail: "cannot be used with --target"})
	}
	if !slices.Contains([]int{1, 3, 5}, c.Replicas) {
		faults = append(faults, settings.Faults("replicas", fmt.Sprintf("want 1, 3 or 5, got %d", c.Replicas))...)
	}
	if c.Events > 0 && c.Engine == "" {
		faults = append(faults, settings.Faults("events", "requires --engine")...)
	}
	if c.Store != "" && c.Engine == "" {
		faults = append(faults, settings.Faults("store", "requires --engine")...)
	}
	if c.NATSURL == "" {
		if c.Replicas > 1 {
			faults = append(faults, settings.Faults("replicas", "requires --nats-url")...)
		}
		return faults
	}
	if c.Engine != bench.EngineNATS {
		faults = append(faults, settings.Faults("nats-url", "requires --engine nats")...)
	}
	return append(faults, settings.Faults("nats-url", settings.CheckNATS(c.NATSURL))...)
}

// Run runs the measurements and prints the report.
func (c *BenchCmd) Run(con *console) error {
	cfg, err := c.config(con)
	if err != nil {
		return err
	}
	if c.Child != "" {
		return bench.Child(cfg, c.Child, con.Err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	report, err := bench.Run(ctx, cfg)
	if err != nil {
		return err
	}
	report.Version = build.Current().String()
	if c.SVG != "" {
		if err := c.draw(report); err != nil {
			return err
		}
	}
	if err := c.print(con.Out, report); err != nil {
		return err
	}
	if !report.Clean() {
		return errors.New("not every subscriber received every event once, in order, unchanged")
	}
	return nil
}

// config returns the configuration of the bench.
func (c *BenchCmd) config(con *console) (bench.Config, error) {
	program, err := os.Executable()
	if err != nil {
		return bench.Config{}, err
	}
	cfg := bench.Config{
		Scenarios: c.Scenario, Transports: c.Transport, Goals: c.Goals, Publish: c.Publish, Secure: c.secure(),
		Subscribers: c.Subscribers, Rate: c.Rate, Size: int(c.Size), Events: c.Events, Duration: c.Duration, Rounds: c.Rounds, CPUs: c.CPUs,
		Target: c.Target, TargetUDP: c.UDP, Token: c.Token,
		Engine: c.Engine, Store: c.Store, NATSURL: c.NATSURL, Replicas: c.Replicas, Stream: c.NATSStream,
		Program: program, Environ: withoutSettings(os.Environ()),
	}
	switch {
	case len(cfg.Scenarios) > 0:
	case c.Engine != "":
		cfg.Scenarios = bench.EngineScenarios(c.Engine)
	case len(cfg.Secure) > 0:
		cfg.Scenarios = []string{bench.Fanout}
	default:
		cfg.Scenarios = []string{bench.Fanout, bench.Burst}
	}
	if terminal.Attached(con.Err) {
		cfg.Progress = con.Err
	}
	return cfg, err
}

// withoutSettings removes the variables that begin with TRIVIUM_, so that a measured hub runs with its default settings.
func withoutSettings(environ []string) []string {
	return slices.DeleteFunc(environ, func(variable string) bool { return strings.HasPrefix(variable, settings.EnvPrefix) })
}

// print writes the report as text or JSON.
func (c *BenchCmd) print(w io.Writer, report *bench.Report) error {
	if !c.JSON {
		return report.Text(w)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(report)
}

// draw writes the report's chart to the file of --svg.
func (c *BenchCmd) draw(report *bench.Report) error {
	file, err := os.Create(c.SVG)
	if err != nil {
		return err
	}
	return errors.Join(report.SVG(file), file.Close())
}
