package bench

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/url"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// spareFiles is the number of files that a process has open in addition to its sockets.
const spareFiles = 100

// runner is one run of the benchmark. It is used by one goroutine, which is locked to its thread. This
// goroutine starts the child processes and reads the sockets of the subscribers.
type runner struct {
	cfg      *Config
	ctx      context.Context
	load     *load
	cores    *cores
	files    int          // maximum number of open files of this process
	secure   *certificate // nil: no hub serves TLS
	engine   *engine      // nil: only the memory engine is measured
	report   *Report
	progress *progress
}

// Run runs the benchmark. If ctx is canceled, it returns early with the cause of the cancellation. When it
// returns, all child processes have ended. The threads of this process stay pinned to the core of the load.
func Run(ctx context.Context, cfg Config) (report *Report, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cores, err := newCores(cfg.CPUs)
	if err != nil {
		return nil, fmt.Errorf("choose cores: %w", err)
	}
	// The goroutine that reads and the one that publishes are in system calls most of the time. With
	// GOMAXPROCS equal to the number of cores, one of them could be scheduled late after its system call.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	r := &runner{cfg: &cfg, ctx: ctx, cores: cores}
	r.report = &Report{System: system(), CPUs: runtime.NumCPU(), HubCPUs: cfg.CPUs, Pinned: cores.apart, Target: cfg.Target, Engine: cfg.Engine, allGoals: cfg.Goals}
	if r.load, err = newLoad(ctx); err != nil {
		return nil, err
	}
	defer r.load.close()
	specs := cfg.specs()
	if cfg.Goals {
		specs = goalSpecs(&cfg)
	}
	if err := r.allow(specs); err != nil {
		return nil, err
	}
	if len(cfg.Secure) > 0 {
		r.secure, err = newCertificate()
		defer func() { err = cmpError(err, r.secure.close()) }()
		if err != nil {
			return nil, err
		}
	}
	if cfg.Engine != "" {
		r.engine, err = r.openEngine()
		defer func() { err = cmpError(err, r.engine.close()) }()
		if err != nil {
			return nil, err
		}
	}
	r.progress = newProgress(cfg.Progress, specs)
	defer r.progress.close()
	for _, s := range specs {
		r.progress.begin(s)
		result, err := r.run(s)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", s.scenario, s.transport, err)
		}
		for _, one := range result {
			one.noteDoubts()
			r.report.Results = append(r.report.Results, one)
		}
	}
	r.report.Goals = evaluateGoals(r.report.Results, cfg.Goals)
	return r.report, nil
}

// Child is the main function of a child process with the given role. For a server, it returns only
// after an error; for the other roles, it returns when their work is done.
func Child(cfg Config, role string, stderr io.Writer) error {
	switch role {
	case ChildFloor:
		return runFloor(stderr)
	case ChildHandler:
		return runHandler(stderr)
	case ChildNATS:
		return runServer(stderr, cfg.Store)
	case ChildFill:
		return runFill(stderr, &cfg)
	case ChildConsumer:
		return runConsumer(stderr, &cfg)
	case ChildMillion:
		return runMillion(stderr, &cfg)
	default:
		return runPublish(stderr, &cfg, role)
	}
}

func system() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return runtime.GOOS
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
}

// allow raises the limit on open files to the number that the connections to all sides of a comparison
// need together. If that is not possible, it accepts a limit that suffices for one side; the sides are
// then connected one at a time.
func (r *runner) allow(specs []spec) (err error) {
	most, all := 0, 0
	for _, s := range specs {
		if s.scenario == MillionSubscribers {
			continue // this scenario opens as many connections as the limit allows
		}
		most, all = max(most, s.subscribers), max(all, s.sides()*s.subscribers)
	}
	if r.files, err = allowFiles(all + spareFiles); err != nil {
		return fmt.Errorf("raise the limit on open files: %w", err)
	}
	if need := most + most/10 + spareFiles; r.files < need {
		return fmt.Errorf("%d subscribers need %d open files, and no more than %d are allowed (ulimit -Hn): use fewer --subscribers", most, need, r.files)
	}
	return nil
}

// run measures one scenario over one transport. It returns one result, except for these scenarios:
// ingest has one result per way to publish, hubs one per number of hubs, replay one per delay, and
// scale one per number of subscribers. A measurement with TLS also returns the result without TLS.
func (r *runner) run(s spec) ([]*Result, error) {
	one := func(result *Result, err error) ([]*Result, error) { return []*Result{result}, err }
	switch s.scenario {
	case Idle:
		return one(r.idle(s))
	case Slow:
		return one(r.slow(s))
	case Resume:
		return one(r.resume(s))
	case Ingest:
		if s.engine != "" {
			return r.ingestEngine(s)
		}
		return r.ingest(s)
	case Hubs:
		return r.hubs(s)
	case Replay:
		return r.replay(s)
	case Scale:
		return r.scale(s)
	case MillionSubscribers:
		return one(r.million(s))
	default:
		if s.engine != "" {
			return one(r.compareEngine(s))
		}
		if s.secure != "" {
			return r.compareSecure(s)
		}
		return one(r.compare(s))
	}
}

// side is one side of a comparison: a server with its subscribers and its source.
type side struct {
	r      *runner
	name   string
	server *Server
	others []*Server // further hubs on the same stream
	group  *group
	source *source
	floor  bool
	spread bool        // see the field of plan with the same name
	tls    *tls.Config // TLS configuration of the subscribers; nil: plain TCP
	alone  *side       // the same server with another source and a single subscriber; nil: not measured
	base   int64       // value of source.expected at the time when the group was opened
	tally  Tally       // sum of the tallies of groups that were closed
	gaps   int64
}

// hub starts a hub as a child process. If a target is configured, hub returns the target instead.
func (r *runner) hub(extra ...string) (*Server, error) {
	if r.cfg.Target == "" {
		return r.start(nil, slices.Concat(hubFlags, extra)...)
	}
	u, err := url.Parse(r.cfg.Target)
	if err != nil {
		return nil, err
	}
	s := &Server{token: r.cfg.Token}
	s.HTTP, s.UDP = u.Host, r.cfg.TargetUDP
	if u.Port() == "" {
		s.HTTP = net.JoinHostPort(u.Hostname(), "80")
	}
	return s, nil
}

// hubSide starts a hub with the flags and creates a side for it. For own, see the method side.
func (r *runner) hubSide(s spec, own bool, flags ...string) (*side, error) {
	server, err := r.hub(flags...)
	if err != nil {
		return nil, err
	}
	d, err := r.side(s, server, own)
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// side creates a side for a server. Its source publishes over HTTP if own is set and the configuration asks for HTTP, and
// otherwise by UDP. The caller must close the side, also after an error.
func (r *runner) side(s spec, server *Server, own bool) (*side, error) {
	streams := uint32(0)
	if s.scenario == Topics {
		streams = uint32(s.subscribers)
	}
	d := &side{r: r, name: "the hub", server: server, source: newSource(r.load, s, streams)}
	if own && r.cfg.Publish == PublishHTTP {
		d.source.overHTTP("http://"+server.HTTP, server.token)
		return d, nil
	}
	return d, d.source.overUDP(server.UDP)
}

func (d *side) servers() []*Server { return append([]*Server{d.server}, d.others...) }

// plan returns the plan for n subscribers that start with the next event of the source.
func (d *side) plan(transport string, n int) (plan, error) {
	var at []endpoint
	for _, server := range d.servers() {
		address, err := net.ResolveTCPAddr("tcp", server.HTTP)
		if err != nil {
			return plan{}, err
		}
		at = append(at, endpoint{address: address, host: server.HTTP, token: server.token})
	}
	stream := func(i int) uint32 {
		if d.source.streams == 0 {
			return 0
		}
		return uint32(i) + 1
	}
	return plan{
		transport: transport, at: at, n: n, stream: stream, spread: d.spread, tls: d.tls,
		topic: func(i int) string { return topicOf(stream(i)) },
		next:  func(i int) uint32 { return d.source.head(stream(i)) },
	}, nil
}

// open connects n subscribers to the side's servers.
func (d *side) open(name, transport string, n int) error {
	p, err := d.plan(transport, n)
	if err != nil {
		return err
	}
	d.base = d.source.expected.Load()
	d.group, err = d.r.load.connect(name, p)
	return err
}

// closeSubscribers closes the subscribers' connections, and adds the subscribers' counts to the counts of the
// side.
func (d *side) closeSubscribers() {
	if d.group != nil {
		d.group.close()
		d.tally.add(d.group.tally)
		d.gaps += d.group.gaps
		d.group = nil
	}
}

func (d *side) close() {
	if d.alone != nil {
		d.alone.closeSubscribers()
		d.alone.source.close()
	}
	d.closeSubscribers()
	d.source.close()
	for _, server := range d.servers() {
		server.stop()
	}
}

// caughtUp reports whether every subscriber has received all events that were published.
func (d *side) caughtUp() bool { return d.group.advanced >= d.source.expected.Load()-d.base }

// drain reads until every subscriber has received all published events. Events that do not arrive
// count as lost.
func (d *side) drain() error {
	if d.group == nil {
		return nil
	}
	done, err := d.r.load.pump(patience, d.caughtUp)
	if err == nil && !done {
		d.group.countLost(d.source.head)
	}
	return err
}

// linger continues to read for a short time, so that duplicates that arrive late are counted.
func (d *side) linger() error {
	if d.group == nil {
		return nil
	}
	return d.r.load.pumpFor(100 * time.Millisecond)
}

// published publishes n events at the given rate, and reads until all of them have arrived.
func (d *side) published(rate, n int) error {
	ended := make(chan error, 1)
	return d.beside(rate, n, ended, func() error {
		var failed error
		over := func() bool {
			select {
			case failed = <-ended:
				ended <- failed // beside receives the error too
				return true
			default:
				return false
			}
		}
		if _, err := d.r.load.pump(forever, over); err != nil {
			return err
		}
		return failed
	})
}

// forever is a timeout for pump that never expires.
const forever = 1 << 62

// beside calls work, and publishes n events in another goroutine at the same time. If n is 0, it
// publishes until work returns. The function work must call pump, because beside reads no events while work runs. The
// goroutine sends its error to ended, and beside waits for it. Finally, beside reads until all events have arrived.
func (d *side) beside(rate, n int, ended chan error, work func() error) error {
	ctx, cancel := context.WithCancel(d.r.ctx)
	go func() { ended <- d.source.pace(ctx, rate, n) }()
	err := work()
	cancel()
	if err = cmpError(err, <-ended); err != nil {
		return err
	}
	return d.drain()
}

func cmpError(first, second error) error {
	if first != nil {
		return first
	}
	return second
}
