package hub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// Config configures a hub. The zero Config keeps events in memory, with the default limits.
type Config struct {
	Engine       Engine    // nil: NewMemory()
	Retention    Retention // limits of the in-memory log
	MaxEventSize int       // maximum bytes of data per event; 0: DefaultMaxEventSize
	Workers      int       // fan-out goroutines; 0: GOMAXPROCS
}

// Hub accepts events and delivers them to subscriptions. All methods are safe for concurrent use.
type Hub struct {
	engine       Engine        // static
	epoch        Epoch         // static
	maxEventSize int           // static
	replay       *replayReader // static; nil: the engine is not a Log
	locator      *locator      // static; nil: the engine is not a Log
	shardSize    int           // static; maxShardSize
	turns        chan struct{} // static; a semaphore that limits the number of concurrent long searches
	steps        int           // static; maxSteps, except in tests
	keys         *idempotency
	stats        counters

	closing    context.Context // canceled when Close has closed the engine
	stop       context.CancelFunc
	wakeExpiry chan struct{} // capacity 1: wakes expire when the first event is added to an empty in-memory log
	running    sync.WaitGroup
	yielded    func()     // for tests: called by yield while mu is not held; static
	erasing    sync.Mutex // held by Erase, so that a second erasure of the same event returns ErrNoEvent

	mu            sync.RWMutex
	memlog        *memlog
	fanout        fanout
	batches       batchMemory
	index         index
	groups        map[string]*group // groups by FilterSet.Key
	subscriptions int
	filterBytes   int // memory of all filter sets in groups
	closed        bool
	deliveryWaits waitHeap
	newGroups     []*group // groups created while deliver matched events, which may have missed them
	matching      bool     // deliver is matching events

	delivery delivery // owned by deliver
}

// startTimeout is the longest time that New waits for the events that are already in the log.
const startTimeout = time.Minute

// New starts a hub. When New returns, the in-memory log contains the newest events of the engine's log. The caller must
// call Close.
func New(cfg Config) (*Hub, error) {
	h := &Hub{
		engine:       cfg.Engine,
		maxEventSize: cmp.Or(cfg.MaxEventSize, DefaultMaxEventSize),
		turns:        make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		steps:        maxSteps,
		shardSize:    maxShardSize,
		keys:         newIdempotency(),
		wakeExpiry:   make(chan struct{}, 1),
		index:        newIndex(),
		groups:       make(map[string]*group),
	}
	h.closing, h.stop = context.WithCancel(context.Background())
	if h.engine == nil {
		h.engine = NewMemory()
	}
	h.fanout.notEmpty.L = &h.mu
	h.batches.clock.engine, _ = h.engine.(*memoryEngine)
	log, lasting := h.engine.(Log)
	if lasting {
		h.replay = newReplayReader(log, cfg.Retention.withDefaults().GapTopics)
		h.locator = newLocator(h.replay)
	}
	if err := h.start(cfg); err != nil {
		return nil, fmt.Errorf("start the engine: %w", err)
	}
	if !lasting {
		return h, nil
	}
	if err := h.load(log); err != nil {
		_ = h.Close()
		return nil, fmt.Errorf("load the log: %w", err)
	}
	return h, nil
}

func (h *Hub) start(cfg Config) error {
	// The engine may deliver before Start has returned.
	h.mu.Lock()
	defer h.mu.Unlock()
	from, err := h.engine.Start(h.deliver)
	if err != nil {
		return err
	}
	h.epoch = from.Epoch
	h.memlog = newMemlog(cfg.Retention.withDefaults(), from.Seq)
	for range cmp.Or(cfg.Workers, runtime.GOMAXPROCS(0)) {
		h.running.Go(h.work)
	}
	h.running.Go(h.expire)
	if h.replay != nil {
		h.memlog.onRemoved = h.replay.recordRemoved
		h.running.Go(func() { h.replay.run(h.closing) })
		h.running.Go(func() { h.locator.run(h.closing) })
		if h.replay.matcher != nil {
			h.running.Go(func() { h.replay.runMatching(h.closing) })
		}
		h.running.Go(func() {
			h.replay.maintainLossIndex(h.closing, h.lowWatermark, func() uint64 { return h.Position().Seq })
		})
	}
	return nil
}

// load blocks until every event that is in the log at the time of the call has been delivered. Otherwise the first
// subscriber would receive older events as new ones.
func (h *Hub) load(log Log) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	tip, err := log.LastSeq(ctx)
	for errors.Is(err, ErrUnavailable) && ctx.Err() == nil { // a cluster may still be forming
		time.Sleep(logRetry)
		tip, err = log.LastSeq(ctx)
	}
	if err != nil {
		return err
	}
	if !h.waitDelivered(ctx, tip) {
		return fmt.Errorf("the engine did not deliver the newest event within %v: %w", startTimeout, ErrUnavailable)
	}
	h.mu.Lock()
	h.stats.published = 0 // count from the start of this hub
	h.mu.Unlock()
	h.detectTimeOverlap(ctx, log)
	return nil
}

// detectTimeOverlap sets memlog.timesOverlap if an event before the in-memory log has a later time than the first event
// of the in-memory log. That happens if the clock of a server was ahead.
func (h *Hub) detectTimeOverlap(ctx context.Context, log Log) {
	h.mu.RLock()
	var first *Event
	if h.memlog.events.len() > 0 && h.memlog.lowWatermark > 0 {
		first = h.memlog.events.at(0)
	}
	h.mu.RUnlock()
	if first == nil {
		return
	}
	seq, err := log.SeqAt(ctx, first.Time.Add(1))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.memlog.timesOverlap = err != nil || seq+1 < first.ID.Seq
}

// Publish validates the events and appends all of them or none to the log, in order. It returns the ID of the last one.
// It never waits for a subscriber. Usually the hub has delivered the events when Publish returns. If there are no
// events, it returns the position of the newest event in the log.
//
// The error is an *InvalidError, ErrClosed, or wraps ErrUnavailable.
func (h *Hub) Publish(ctx context.Context, events ...*Event) (Cursor, error) {
	last, err := h.publish(events, func() (Cursor, error) { return h.engine.Publish(ctx, events) })
	if err == nil {
		h.waitOwnWrite(ctx, last)
	}
	return last, err
}

// PublishEach publishes events that need not be stored atomically, such as events from a datagram
// source. If the error is a *PartialError, some of the events are in the log.
func (h *Hub) PublishEach(ctx context.Context, events ...*Event) (Cursor, error) {
	if s, ok := h.engine.(BatchPublisher); ok {
		return h.publish(events, func() (Cursor, error) { return s.PublishEach(ctx, events) })
	}
	return h.Publish(ctx, events...)
}

// PublishInOrder publishes events that need not be stored atomically, such as the lines of a stream. If the
// error is a *PartialError, its Stored field is a number n: the first n events are in the log.
func (h *Hub) PublishInOrder(ctx context.Context, events ...*Event) (Cursor, error) {
	o, ok := h.engine.(OrderedPublisher)
	if !ok {
		return h.Publish(ctx, events...)
	}
	last, err := h.publish(events, func() (Cursor, error) { return o.PublishInOrder(ctx, events) })
	if err == nil {
		h.waitOwnWrite(ctx, last)
	}
	return last, err
}

// PublishUnique publishes as PublishEach does. ids[i] is the ID of events[i]. A UniquePublisher skips
// events whose ID is already in the log; repeated is the number of skipped events. Any other engine
// publishes all events.
func (h *Hub) PublishUnique(ctx context.Context, ids []string, events ...*Event) (repeated int, err error) {
	u, ok := h.engine.(UniquePublisher)
	if !ok {
		_, err = h.PublishEach(ctx, events...)
		return 0, err
	}
	_, err = h.publish(events, func() (last Cursor, err error) {
		repeated, err = u.PublishUnique(ctx, ids, events)
		return last, err
	})
	if errors.Is(err, ErrUnavailable) {
		h.stats.refused.Add(-uint64(repeated)) // publish has counted the repeated events as refused
	}
	return repeated, err
}

// publish validates the events and calls do, which publishes them. If there are no events, it returns the current
// position.
func (h *Hub) publish(events []*Event, do func() (Cursor, error)) (Cursor, error) {
	if len(events) == 0 {
		return h.Position(), nil
	}
	for i, e := range events {
		if err := e.Validate(h.maxEventSize); err != nil {
			return Cursor{}, atIndex(err, i, len(events))
		}
	}
	last, err := do()
	if errors.Is(err, ErrUnavailable) {
		refused := len(events)
		if partial, ok := errors.AsType[*PartialError](err); ok {
			refused -= partial.Stored
		}
		h.stats.refused.Add(uint64(refused))
	}
	return last, err
}

// atIndex adds the number of the invalid event to an *InvalidError. It does so only if n, the number of
// events, is more than one.
func atIndex(err error, i, n int) error {
	if bad, ok := err.(*InvalidError); ok && n > 1 {
		return &InvalidError{Parameter: bad.Parameter, Detail: fmt.Sprintf("event %d of %d: %s", i+1, n, bad.Detail), TooLarge: bad.TooLarge}
	}
	return err
}

// yield releases Hub.mu for a moment during long work and locks it again. The guarded data must be consistent when
// yield is called. No other delivery begins in the meantime.
func (h *Hub) yield() {
	h.mu.Unlock()
	if h.yielded != nil {
		h.yielded()
	}
	h.mu.Lock()
}

// lowWatermark returns the low watermark of the in-memory log: events up to this seq are no longer in
// the log.
func (h *Hub) lowWatermark() uint64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.memlog.lowWatermark
}

// Position returns the cursor of the newest event.
func (h *Hub) Position() Cursor {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return Cursor{h.epoch, h.memlog.lastSeq}
}

// MaxEventSize returns the limit on an event's data, in bytes.
func (h *Hub) MaxEventSize() int { return h.maxEventSize }

// Subscribe starts a subscription. The hub calls sink.Ready for events published from now on. The caller must
// call Read once for events that are already in the log. The error is ErrClosed.
func (h *Hub) Subscribe(r Request, sink Sink) (*Subscription, error) {
	r = h.Locate(r)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosed
	}
	s := &Subscription{hub: h, subscriber: subscriber{sink: sink}, conflate: r.Conflate}
	s.joinGroup(r.Filters)
	s.setStart(r)
	h.subscriptions++
	return s, nil
}

// groupOf returns the subscription group of the set. It creates the group if there is none.
func (h *Hub) groupOf(set FilterSet) *group {
	g := h.groups[set.Key()]
	if g == nil {
		g = &group{set: set, from: h.memlog.lastSeq, last: h.memlog.lastSeq}
		h.groups[set.Key()] = g
		h.filterBytes += set.Size()
		h.index.add(g)
		if h.matching {
			h.newGroups = append(h.newGroups, g)
		}
	}
	return g
}

// releaseGroup removes the subscription group if it has no subscriptions. Otherwise it queues the group if a shard has
// moved back.
func (h *Hub) releaseGroup(g *group, movedBack bool) {
	if len(g.subs) > 0 {
		if movedBack {
			h.enqueueGroup(g)
		}
		return
	}
	if g.shards != nil {
		g.shards.drop()
	}
	delete(h.groups, g.set.Key())
	h.filterBytes -= g.set.Size()
	h.index.remove(g)
}

// Close stops the hub and blocks until its goroutines have ended. The hub then neither accepts nor delivers
// events. Subscriptions remain readable, and their owners must close them.
func (h *Hub) Close() error {
	h.mu.Lock()
	again := h.closed
	h.closed = true
	h.mu.Unlock()
	if again {
		return nil
	}
	err := h.engine.Close()
	h.stop()
	h.mu.Lock()
	h.fanout.close()
	h.mu.Unlock()
	h.running.Wait()
	return err
}

// minExpiry is the shortest interval between two runs of expire, so that it does not run for every single event.
const minExpiry = 20 * time.Millisecond

// expire removes events when they reach the maximum age, even if nothing is published.
func (h *Hub) expire() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-h.closing.Done():
			return
		case <-timer.C:
		}
		h.mu.Lock()
		for !h.memlog.trim(time.Now()) {
			h.yield()
		}
		left, ok := h.memlog.nextExpiry()
		h.mu.Unlock()
		if !ok {
			select {
			case <-h.closing.Done():
				return
			case <-h.wakeExpiry:
				left = h.memlog.keep.Age
			}
		}
		timer.Reset(max(left, minExpiry))
	}
}
