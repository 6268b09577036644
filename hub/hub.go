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

// Config is a hub's configuration. The zero Config is a hub in memory with the default limits.
type Config struct {
	Engine       Engine    // nil: NewMemory()
	Retention    Retention // what can be read again
	MaxEventSize int       // bytes of data in an event; 0: DefaultMaxEventSize
	Workers      int       // goroutines that fan out; 0: GOMAXPROCS
}

// Hub takes events in and hands them to subscriptions. All methods may be called by any goroutine.
type Hub struct {
	engine       Engine   // static
	epoch        Epoch    // static
	maxEventSize int      // static
	archive      *archive // static; nil: the window is all there is
	fanout       *fanout
	turns        chan struct{} // static; has as many elements as there may be long searches at a moment
	steps        int           // static; maxSteps
	keys         *idempotency
	stats        counters

	closing context.Context // ends when Close has closed the engine
	stop    context.CancelFunc
	aged    chan struct{} // capacity 1: the window has got a first event, mind its age
	running sync.WaitGroup
	yielded func()     // for tests: called by yield while it does not hold mu; static
	erasing sync.Mutex // held by Erase, so that of two erasures of one event the second finds none

	mu            sync.RWMutex
	window        *window
	index         index
	feeds         map[string]*feed // by FilterSet.key
	subscriptions int
	filterBytes   int // of feeds
	closed        bool
	arrivals      arrivalHeap
	born          []*feed // while deliver matches events: feeds that it has not gathered
	matching      bool    // deliver matches events

	delivery delivery // owned by deliver
}

// startPatience is how long New waits for what the log has already.
const startPatience = time.Minute

// New starts a hub: when it returns, the window has the newest of what the engine's log had. Close
// ends it.
func New(cfg Config) (*Hub, error) {
	h := &Hub{
		engine:       cfg.Engine,
		maxEventSize: cmp.Or(cfg.MaxEventSize, DefaultMaxEventSize),
		fanout:       newFanout(),
		turns:        make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		steps:        maxSteps,
		keys:         newIdempotency(),
		aged:         make(chan struct{}, 1),
		index:        newIndex(),
		feeds:        make(map[string]*feed),
	}
	h.closing, h.stop = context.WithCancel(context.Background())
	if h.engine == nil {
		h.engine = NewMemory()
	}
	log, lasting := h.engine.(Log)
	if lasting {
		h.archive = newArchive(log, cfg.Retention.withDefaults().GapTopics)
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
	h.window = newWindow(cfg.Retention.withDefaults(), from.Seq)
	for range cmp.Or(cfg.Workers, runtime.GOMAXPROCS(0)) {
		h.running.Go(h.work)
	}
	h.running.Go(h.expire)
	if h.archive != nil {
		h.window.passed = h.archive.passed
		h.running.Go(func() { h.archive.run(h.closing) })
		h.running.Go(func() { h.archive.watch(h.closing, h.floor, func() uint64 { return h.Position().Seq }) })
	}
	return nil
}

// load waits until all that the log has now was delivered: the first subscriber must not take it
// for what comes next.
func (h *Hub) load(log Log) error {
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	tip, err := log.Tip(ctx)
	for errors.Is(err, ErrUnavailable) && ctx.Err() == nil { // a cluster may be about to find together
		time.Sleep(logRetry)
		tip, err = log.Tip(ctx)
	}
	if err != nil {
		return err
	}
	if !h.await(ctx, tip) {
		return fmt.Errorf("not delivered within %v: %w", startPatience, ErrUnavailable)
	}
	h.stats.published.Store(0) // that was before
	h.lookEarly(ctx, log)
	return nil
}

// lookEarly finds out whether an event before the window has a later time than its first: a server's clock
// was ahead.
func (h *Hub) lookEarly(ctx context.Context, log Log) {
	h.mu.RLock()
	var first *Event
	if h.window.events.len() > 0 && h.window.floor > 0 {
		first = h.window.events.at(0)
	}
	h.mu.RUnlock()
	if first == nil {
		return
	}
	seq, err := log.SeqAt(ctx, first.Time.Add(1))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.window.early = err != nil || seq+1 < first.ID.Seq
}

// Publish validates the events and puts them at the end of the log, in their order, all or none.
// It gives the ID of the last, and never waits for a subscriber. As a rule they have been delivered
// when it returns. Without events it gives the position of the newest.
//
// The error is an *InvalidError, ErrClosed, or one that wraps ErrUnavailable.
func (h *Hub) Publish(ctx context.Context, events ...*Event) (Cursor, error) {
	last, err := h.publish(events, func() (Cursor, error) { return h.engine.Publish(ctx, events) })
	if err == nil {
		h.echo(ctx, last)
	}
	return last, err
}

// PublishEach is Publish for events that need not be all or none, such as those of a datagram
// source. Where the error is a *PartialError, some are in the log.
func (h *Hub) PublishEach(ctx context.Context, events ...*Event) (Cursor, error) {
	if s, ok := h.engine.(Streamer); ok {
		return h.publish(events, func() (Cursor, error) { return s.PublishEach(ctx, events) })
	}
	return h.Publish(ctx, events...)
}

// PublishInOrder is Publish for events that need not be all or none, such as the lines of a stream. Where the
// error is a *PartialError, the first of them are in the log.
func (h *Hub) PublishInOrder(ctx context.Context, events ...*Event) (Cursor, error) {
	o, ok := h.engine.(OrderedPublisher)
	if !ok {
		return h.Publish(ctx, events...)
	}
	last, err := h.publish(events, func() (Cursor, error) { return o.PublishInOrder(ctx, events) })
	if err == nil {
		h.echo(ctx, last)
	}
	return last, err
}

// PublishUnique is PublishEach for events that have an ID each, at the same index of ids: an engine that
// shares its log with other hubs leaves out those whose ID is in the log already, and repeated is how many
// they were. An engine that does not know IDs publishes all.
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
		h.stats.refused.Add(-uint64(repeated)) // publish has counted all that are not stored
	}
	return repeated, err
}

// publish has the engine do it if the events are good, and there are some.
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

// atIndex names the event of a batch that an *InvalidError is about.
func atIndex(err error, i, n int) error {
	if bad, ok := err.(*InvalidError); ok && n > 1 {
		return &InvalidError{Parameter: bad.Parameter, Detail: fmt.Sprintf("event %d of %d: %s", i+1, n, bad.Detail), TooLarge: bad.TooLarge}
	}
	return err
}

// yield lets others have Hub.mu, where work under it goes on for longer than one hold may last. What the
// lock guards is consistent meanwhile, and no other delivery begins.
func (h *Hub) yield() {
	h.mu.Unlock()
	if h.yielded != nil {
		h.yielded()
	}
	h.mu.Lock()
}

// floor is the seq up to which the window has let go.
func (h *Hub) floor() uint64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.window.floor
}

// Position is the cursor of the newest event.
func (h *Hub) Position() Cursor {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return Cursor{h.epoch, h.window.head}
}

// MaxEventSize is the limit on an event's data, in bytes.
func (h *Hub) MaxEventSize() int { return h.maxEventSize }

// Subscribe begins a subscription. From now on sink is told of what there is to read; what was
// there before must be asked for once with Read. The error is ErrClosed.
func (h *Hub) Subscribe(r Request, sink Sink) (*Subscription, error) {
	r = h.Locate(r)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosed
	}
	s := &Subscription{hub: h, sink: sink, conflate: r.Conflate}
	s.join(r.Filters)
	s.start(r)
	h.subscriptions++
	return s, nil
}

// feedOf gives the feed of the set, a new one if nobody has asked for it yet.
func (h *Hub) feedOf(set FilterSet) *feed {
	f := h.feeds[set.Key()]
	if f == nil {
		f = &feed{set: set, from: h.window.head, last: h.window.head}
		h.feeds[set.Key()] = f
		h.filterBytes += set.Size()
		h.index.add(f)
		if h.matching {
			h.born = append(h.born, f)
		}
	}
	return f
}

// release forgets the feed if nobody is left in it.
func (h *Hub) release(f *feed) {
	if len(f.subs) == 0 {
		delete(h.feeds, f.set.Key())
		h.filterBytes -= f.set.Size()
		h.index.remove(f)
	}
}

// Close ends the hub: nothing is taken or delivered any more, and its goroutines have ended when
// it returns. Subscriptions stay readable and are for their owners to close.
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
	h.fanout.close()
	h.running.Wait()
	return err
}

// minExpiry keeps a stream of events that each end at another moment from waking expire for each.
const minExpiry = 20 * time.Millisecond

// expire lets events go when their age ends, published or not.
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
		for !h.window.trim(time.Now()) {
			h.yield()
		}
		left, any := h.window.nextExpiry()
		h.mu.Unlock()
		if !any {
			select {
			case <-h.closing.Done():
				return
			case <-h.aged:
				left = h.window.keep.Age
			}
		}
		timer.Reset(max(left, minExpiry))
	}
}
