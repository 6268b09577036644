package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/trivium-hub/trivium/hub"
)

// Limits and intervals of the follower.
const (
	pullMessages  = 2000
	pullBytes     = 32<<20 + 64<<10 // size of the largest message of a stream; other hubs may accept larger events than this hub
	pullExpiry    = 10 * time.Second
	pullHeartbeat = time.Second // after two missed heartbeats, the consumer is replaced
	maxQueued     = 4096        // maximum number of events that wait for delivery to the hub
	maxQueuedSize = 8 << 20     // maximum bytes of their data; a single event may be larger
	maxDelivered  = 512         // maximum number of events per call of deliver, which holds the hub's lock
	consumerLife  = 30 * time.Second
	stallTime     = 2 * time.Second
	settledAfter  = 2 * infoTimeout // a consumer that fails after a longer time is considered to have worked
	maxPause      = time.Second     // longest pause before a new consumer
)

// follower reads the stream and delivers its events to the hub. The engine owns its two goroutines.
type follower struct {
	engine  *Engine
	deliver func([]*hub.Event)

	mu     sync.Mutex
	change sync.Cond // uses mu; signals changes of queue and closed
	queue  []*hub.Event
	size   int       // bytes of data in the queue
	tip    uint64    // last sequence of the stream, as the leader last reported it
	broken error     // the reason why the last consumer failed; nil: the current one works
	since  time.Time // when broken was set
	last   uint64    // sequence of the newest queued element, initially the start position; only the consumer changes it
	closed bool
}

func newFollower(e *Engine, last uint64, deliver func([]*hub.Event)) *follower {
	f := &follower{engine: e, last: last, deliver: deliver}
	f.change.L = &f.mu
	return f
}

// follow creates a consumer, and a new one after each failure, until ctx ends. It pauses before it
// creates a new consumer, and doubles the pause with each further failure, up to maxPause. It logs an error
// only if the error differs from the previous one.
func (f *follower) follow(ctx context.Context) {
	pause, logged := retryWait, ""
	for ctx.Err() == nil {
		begin := time.Now()
		err := f.consume(ctx)
		f.setBroken(err)
		if time.Since(begin) > settledAfter {
			pause, logged = retryWait, ""
		}
		if err != nil && ctx.Err() == nil && err.Error() != logged {
			logged = err.Error()
			f.engine.cfg.Logger.Warn("following the stream failed, retrying", "after", f.reached(), "error", logged)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, maxPause)
	}
}

// consume follows the stream with one consumer until it fails.
func (f *follower) consume(ctx context.Context) error {
	e := f.engine
	if err := e.verify(ctx); err != nil {
		return err
	}
	info, err := e.checkReaches(ctx, f.reached())
	if err != nil {
		return err
	}
	making, cancel := context.WithTimeout(ctx, infoTimeout)
	defer cancel()
	consumer, err := e.js.CreateConsumer(making, e.cfg.Stream, jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       f.reached() + 1,
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: consumerLife,
	})
	if err != nil {
		return err
	}
	defer func() {
		// If the deletion of the consumer fails, the server deletes it later.
		deleting, cancel := context.WithTimeout(context.WithoutCancel(ctx), retryWait)
		defer cancel()
		_ = e.js.DeleteConsumer(deleting, e.cfg.Stream, consumer.CachedInfo().Name)
	}()
	f.setTip(info.State.LastSeq)
	if consumer.CachedInfo().NumPending == 0 {
		if err := f.enqueueDeleted(making, info.State.LastSeq); err != nil {
			return err
		}
	}
	broken := make(chan error, 1)
	breaks := func(err error) {
		select {
		case broken <- err:
		default:
		}
	}
	expected, ended := uint64(1), false
	running, err := consumer.Consume(func(m jetstream.Msg) {
		meta, err := m.Metadata()
		if ended = ended || err != nil || meta.Sequence.Consumer != expected; ended {
			breaks(errors.New("the consumer skipped a message"))
			return
		}
		expected++
		if err := f.enqueueMessage(ctx, m, meta); err != nil {
			ended = true
			breaks(err)
		}
	}, jetstream.PullMaxMessagesWithBytesLimit(pullMessages, pullBytes),
		jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { breaks(err) }))
	if err != nil {
		return err
	}
	err = f.waitBroken(ctx, broken)
	running.Stop()
	<-running.Closed()
	return err
}

// enqueueDeleted queues a deleted range if the stream has no messages between the newest queued element
// and tip. The consumer's replica may be behind the leader, so enqueueDeleted reads from the leader. It
// must be called only while the consumer has no messages: otherwise the leader would send the next
// message, which is not needed.
func (f *follower) enqueueDeleted(ctx context.Context, tip uint64) error {
	last := f.reached()
	if tip <= last {
		return nil
	}
	_, err := f.engine.getFromLeader(ctx, getRequest{Seq: last + 1, Next: f.engine.prefix + ">"})
	if !errors.Is(err, jetstream.ErrMsgNotFound) {
		return err
	}
	missing, err := f.engine.deletedRange(ctx, last, tip)
	for _, element := range missing {
		f.enqueue(element)
	}
	return err
}

// waitBroken blocks until the consumer fails or ctx ends. A consumer that delivers nothing for
// stallTime although the stream has more messages has failed: its replica is behind the leader, or
// the messages were deleted.
func (f *follower) waitBroken(ctx context.Context, broken <-chan error) error {
	tick := time.NewTicker(stallTime)
	defer tick.Stop()
	before, tip := f.state()
	for ticks := 0; ; ticks++ {
		select {
		case <-ctx.Done():
			return nil
		case err := <-broken:
			return err
		case <-tick.C:
		}
		now, newTip := f.state()
		if now < tip && now == before {
			return errors.New("the consumer delivers nothing although the stream has more messages")
		}
		if ticks > 0 { // after two ticks, missed heartbeats would have been reported
			f.setBroken(nil)
		}
		before, tip = now, newTip
	}
}

// setBroken records the reason why the consumer failed, or nil if the current consumer works.
func (f *follower) setBroken(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil && f.broken == nil {
		f.since = time.Now()
	}
	f.broken = err
}

// ready returns the reason why the stream cannot be followed, or nil. During the first stallTime of a
// failure, it returns nil.
func (f *follower) ready() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil && time.Since(f.since) > stallTime {
		return unavailable(fmt.Errorf("the stream cannot be followed: %w", f.broken))
	}
	return nil
}

// setTip stores the last sequence that the leader reported.
func (f *follower) setTip(tip uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tip = tip
}

func (f *follower) state() (reached, tip uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last, f.tip
}

// reached returns the sequence of the newest queued element.
func (f *follower) reached() uint64 {
	last, _ := f.state()
	return last
}

// enqueueMessage queues a message. If the consumer has skipped sequences, it first queues elements
// for these.
func (f *follower) enqueueMessage(ctx context.Context, m jetstream.Msg, meta *jetstream.MsgMetadata) error {
	seq := meta.Sequence.Stream
	for f.last+1 < seq {
		missing, err := f.engine.deleted(ctx, f.last, seq, pullMessages)
		if err != nil {
			return err
		}
		for _, event := range missing {
			f.enqueue(event)
		}
		if f.isClosed() {
			return nil
		}
	}
	event := f.engine.element(stored{seq: seq, time: meta.Timestamp, subject: m.Subject(), header: m.Headers(), data: m.Data()})
	if event.Topic == "" && event.Erases == 0 {
		f.engine.cfg.Logger.Warn("a message in the stream is not a valid event", "sequence", seq)
	} else if id, one, ok := keyedOf(m.Headers(), seq, meta.Timestamp); ok {
		f.engine.keys.add(id, one)
	}
	f.engine.clocks.observe(seq, meta.Timestamp)
	f.engine.continuity.note(f.engine.anchorOf(seq, meta.Timestamp, m.Subject(), m.Data()))
	f.enqueue(event)
	return nil
}

// enqueue blocks until the queue has space, and appends the element. It ignores sequences that were
// queued before: a replica that is behind the leader may send a message that was already reported
// as deleted.
func (f *follower) enqueue(event *hub.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if event.ID.Seq <= f.last {
		return
	}
	for (len(f.queue) >= maxQueued || f.size >= maxQueuedSize) && !f.closed {
		f.change.Wait()
	}
	if f.closed {
		return
	}
	f.queue = append(f.queue, event)
	f.size += len(event.Data)
	f.last = event.ID.Seq
	f.broken = nil
	f.change.Broadcast()
}

// deliverQueued delivers queued elements to the hub until the follower is closed.
func (f *follower) deliverQueued() {
	for {
		f.mu.Lock()
		for len(f.queue) == 0 && !f.closed {
			f.change.Wait()
		}
		if f.closed {
			f.mu.Unlock()
			return
		}
		events := f.queue
		f.queue, f.size = nil, 0
		f.change.Broadcast()
		f.mu.Unlock()
		for len(events) > 0 {
			n := min(len(events), maxDelivered)
			if err := f.engine.server.raise(events[n-1].ID.Seq); err != nil {
				f.engine.fail(err)
				return
			}
			f.deliver(events[:n:n])
			events = events[n:]
		}
	}
}

func (f *follower) isClosed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

func (f *follower) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.change.Broadcast()
}
