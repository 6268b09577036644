package jetstream

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/url"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trivium-hub/trivium/hub"
)

// watchInterval is the interval at which the engine checks that the stream exists.
const watchInterval = time.Second

// maxNotFound is the number of consecutive checks after which a missing stream is considered
// deleted. A server that has just started may not have loaded the stream yet.
const maxNotFound = 3

// Engine is a hub.Engine on a JetStream stream. It also implements hub.Log, hub.IdempotentPublisher and
// hub.BatchPublisher.
type Engine struct {
	cfg     Config
	prefix  string        // prefix of all subjects: the stream's name and a dot; static
	batches chan struct{} // one element per atomic batch in progress
	lanes   lanes
	keys    keys

	timeouts timeouts // static

	// Start sets the following fields. They are static afterwards.

	server *embedded // nil: the servers are outside of this process
	conn   *nats.Conn
	js     jetstream.JetStream
	acks   acks
	epoch  hub.Epoch

	continuity continuity
	replicas   replicas
	erased     erasures
	clocks     clocks
	rights     rights

	closing context.Context // ends when Close is called
	close   context.CancelFunc
	running sync.WaitGroup
	follows *follower

	mu               sync.Mutex
	closed           bool
	publishing       sync.WaitGroup // Add with mu held
	unavailable      error          // why the stream is unavailable; nil: it is available
	unavailableSince time.Time      // when unavailable was set
	state            Stats          // state of the stream, without the fields that the method Stats adds
	ended            bool           // the engine has failed and does not recover
	endsEpoch        error          // why this engine is beginning a new epoch; nil: it is not
	failed           chan error     // capacity 1

	connectedMu  sync.Mutex
	connected    context.Context // ends when the connection is lost: requests in progress then get no answer
	disconnected context.CancelFunc
}

// New returns an engine that is not started. If the configuration is invalid, the error names the
// field.
func New(cfg Config) (*Engine, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("jetstream: %w", err)
	}
	e := &Engine{
		cfg:      cfg,
		prefix:   cfg.Stream + ".",
		batches:  make(chan struct{}, maxBatches),
		lanes:    newLanes(),
		timeouts: defaultTimeouts,
		failed:   make(chan error, 1),

		replicas: newReplicas(),
		rights:   newRights(),
	}
	e.continuity.seed = maphash.MakeSeed()
	e.closing, e.close = context.WithCancel(context.Background())
	e.connected, e.disconnected = context.WithCancel(e.closing)
	return e, nil
}

// Start implements hub.Engine. Its error is meant for operators: it contains the actual and the
// required settings.
func (e *Engine) Start(deliver func([]*hub.Event)) (_ hub.Cursor, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	defer func() {
		if err != nil {
			e.close()
			e.closed = true // the deferred function releases everything; Close has nothing left to do
			err = errors.Join(fmt.Errorf("jetstream: %w", err), e.release(false))
		}
	}()
	if e.cfg.Store != "" {
		if e.server, err = openEmbedded(&e.cfg, e.timeouts.start); err != nil {
			return hub.Cursor{}, err
		}
	}
	if err = e.connect(); err != nil {
		return hub.Cursor{}, err
	}
	if e.server == nil {
		if err = e.checkRights(e.closing); err != nil {
			return hub.Cursor{}, err
		}
	}
	ctx, cancel := context.WithTimeout(e.closing, e.timeouts.start)
	defer cancel()
	info, err := e.openStream(ctx)
	if err != nil {
		return hub.Cursor{}, err
	}
	if e.epoch, err = epochOf(&info.Config); err != nil {
		return hub.Cursor{}, err
	}
	if e.server != nil {
		if err = e.server.begin(info); err != nil {
			return hub.Cursor{}, err
		}
		e.server.logLostEvents(e.cfg.Logger, info)
		e.server.logLowSpace(&e.cfg, info.State.Bytes)
	}
	if err := e.learnErasures(ctx); err != nil {
		e.cfg.Logger.Warn("cannot read the list of erased events; the hub tries again when it reads a deleted range of the stream", "error", err.Error())
	}
	last := info.State.LastSeq
	from := last - min(last, uint64(e.cfg.Window))
	if info.State.FirstSeq > 0 {
		from = max(from, info.State.FirstSeq-1)
	}
	e.follows = newFollower(e, from, deliver)
	e.running.Go(func() { e.follows.follow(e.closing) })
	e.running.Go(e.follows.deliverQueued)
	e.running.Go(func() { e.watchStream(e.closing) })
	if e.server == nil {
		e.running.Go(func() { e.watchRights(e.closing) })
	}
	if e.cfg.Replicas > 1 {
		e.running.Go(func() { e.compareReplicas(e.closing) })
	}
	return hub.Cursor{Epoch: e.epoch, Seq: from}, nil
}

// connect connects to the servers and checks that they accept a message of the largest size.
func (e *Engine) connect() (err error) {
	options := []nats.Option{
		nats.Name("trivium"),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // credentials may be renewed by the user or on the server
		nats.ReconnectWait(200 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond),
		nats.ReconnectBufSize(-1), // no buffer: a buffered message would be sent after a reconnect, and could be stored in addition to its retry
		nats.PingInterval(e.timeouts.ping),
		nats.MaxPingsOutstanding(2),
		nats.Timeout(e.timeouts.connect),
		nats.FlusherTimeout(e.timeouts.ack), // while a write blocks, other publishers and Ready also wait
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if !e.rights.note(err) {
				e.cfg.Logger.Warn("NATS client error", "error", err.Error())
			}
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			e.cancelRequests()
			if err != nil {
				e.cfg.Logger.Warn("disconnected from NATS", "error", err.Error())
			}
		}),
		nats.ReconnectHandler(func(c *nats.Conn) { e.cfg.Logger.Info("reconnected to NATS", "server", c.ConnectedUrlRedacted()) }),
	}
	if e.cfg.Credentials != "" {
		options = append(options, nats.UserCredentials(e.cfg.Credentials))
	}
	if e.server != nil {
		options = append(options, nats.InProcessServer(e.server.nats))
	}
	if e.conn, err = nats.Connect(e.cfg.URL, options...); errors.As(err, new(*url.Error)) {
		return errors.New("connect to NATS: want URLs such as nats://a.example:4222") // the error of nats.Connect contains the password
	} else if err != nil {
		return unavailable(fmt.Errorf("connect to NATS: %w", err))
	}
	if err := checkVersion(e.conn.ConnectedServerVersion()); err != nil {
		return err
	}
	if most := e.conn.MaxPayload() - MaxMessageOverhead; most < int64(e.cfg.MaxEventSize) {
		return configError("MaxEventSize", "the NATS server accepts messages of at most %d bytes (its max_payload), so events may have at most %d bytes of data, not %d",
			e.conn.MaxPayload(), most, e.cfg.MaxEventSize)
	}
	if err := e.acks.listen(e.conn); err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	if e.js, err = jetstream.New(e.conn, jetstream.WithDefaultTimeout(e.timeouts.ack)); err != nil {
		return err
	}
	return e.watchLeader()
}

// cancelRequests ends all contexts that the method linked has created. It is called when the
// connection is lost or the engine fails.
func (e *Engine) cancelRequests() {
	e.connectedMu.Lock()
	defer e.connectedMu.Unlock()
	e.disconnected()
	e.connected, e.disconnected = context.WithCancel(e.closing)
}

// linked returns a context that ends after timeout, when the connection is lost, or when Close is
// called.
func (e *Engine) linked(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	e.connectedMu.Lock()
	connected := e.connected
	e.connectedMu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	stop := context.AfterFunc(connected, cancel)
	return ctx, func() { stop(); cancel() }
}

// watchStream checks the stream once per watchInterval, so that a failure is detected even if
// nothing is published.
func (e *Engine) watchStream(ctx context.Context) {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	var silence silence
	for missed := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := e.server.health(); err != nil {
			e.fail(err)
		}
		info, err := e.checkReaches(ctx, e.follows.reached())
		if err == nil {
			e.follows.setTip(info.State.LastSeq)
			e.recordState(info)
			e.erased.forget(info.State.FirstSeq)
			err = e.verify(ctx)
		}
		if err == nil {
			err = silence.check(info.Cluster)
		}
		if missed++; !errors.Is(err, jetstream.ErrStreamNotFound) {
			missed = 0
		} else if missed == maxNotFound {
			e.fail(fmt.Errorf("the stream %q was deleted", e.cfg.Stream))
		}
		e.setUnavailable(err)
	}
}

func (e *Engine) setUnavailable(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return
	}
	if err != nil && e.unavailable == nil {
		e.unavailableSince = time.Now()
	}
	if errors.Is(err, errNoMajority) {
		e.unavailableSince = time.Time{} // an election would not help, so publishers do not wait for one
	}
	e.unavailable = err
}

// publishUnavailable returns the reason why publishing cannot succeed at present, or nil.
// Publishers wait for the election of a leader for a limited time. A longer election means that
// most servers of the stream are unavailable.
func (e *Engine) publishUnavailable() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended || e.unavailable != nil && time.Since(e.unavailableSince) > e.timeouts.election {
		return e.unavailable
	}
	return nil
}

var errNotConnected = unavailable(errors.New("not connected to NATS"))

// Ready returns the reason why the engine is unavailable, or nil.
func (e *Engine) Ready() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ready()
}

func (e *Engine) ready() error {
	switch {
	case !e.conn.IsConnected():
		return errNotConnected
	case e.ended:
		return e.unavailable
	}
	if err := e.rights.err(); err != nil {
		return unavailable(err) // other checks may have failed because of the missing rights
	}
	if e.unavailable != nil {
		return e.unavailable
	}
	return e.follows.ready()
}

// Failed returns a channel that receives one error when the hub must be restarted.
func (e *Engine) Failed() <-chan error { return e.failed }

// fail ends the engine permanently. Only the first error is reported, because later errors are
// consequences of it.
func (e *Engine) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return
	}
	e.unavailable, e.unavailableSince, e.ended = unavailable(err), time.Now(), true
	e.failed <- fmt.Errorf("jetstream: %w", err)
	e.cancelRequests()
}

// Close implements hub.Engine. It cancels publishes in progress, whose outcome is then unknown.
func (e *Engine) Close() error {
	e.close()
	e.mu.Lock()
	again, clean := e.closed || e.js == nil, !e.ended
	e.closed = true
	e.mu.Unlock()
	if again {
		return nil
	}
	e.publishing.Wait()
	e.follows.close()
	e.running.Wait()
	return e.release(clean)
}

// release closes the connection and the embedded server. If clean is set and everything was written to
// disk, release marks the store as closed cleanly.
func (e *Engine) release(clean bool) error {
	if e.conn != nil {
		e.conn.Close()
	}
	if e.server == nil {
		return nil
	}
	return e.server.close(clean)
}
