package hub

import (
	"context"
	"time"
)

// Engine stores events and determines their order. Only the hub calls its methods.
type Engine interface {
	// Start starts the engine and returns the position after which it delivers. From then on the engine calls deliver
	// with every event of the log exactly once, in the order of seq, with ID and Time set. Calls of deliver never
	// overlap, and deliver does not block. The Time of an event is the same on every hub and in every read. Time may
	// decrease from one event to the next, because the clocks of servers differ.
	//
	// An element without a topic is not an event. It marks a deleted range: every event after the previous
	// element, up to and including the element's ID, is lost. If Erases is set, the element is not a deleted
	// range but an erasure: the hub removes the event whose seq is the value of Erases. That event may or may
	// not have been delivered. Any other sequence number between the previous element and the erasure belongs
	// to an event that was erased earlier, or to no event. An erasure may have the seq of the previous
	// element.
	Start(deliver func([]*Event)) (Cursor, error)
	// Publish appends all events or none to the log, in order, and returns the ID of the last one. The error wraps
	// ErrUnavailable if a retry may succeed. After Close it is ErrClosed.
	Publish(ctx context.Context, events []*Event) (Cursor, error)
	// Close stops the engine. When Close returns, no call of deliver is running and none follows.
	Close() error
}

// Log is implemented by engines whose log outlives the process or is shared with other hubs. Such a log may contain
// events, older or newer, that were not delivered to this hub. The errors of all methods wrap ErrUnavailable if a retry
// may succeed.
type Log interface {
	// LastSeq returns the seq of the newest event. It reads the number from the server that assigns
	// sequence numbers.
	LastSeq(ctx context.Context) (uint64, error)
	// ReadAfter returns the elements after seq, in order: events and, as in Engine.Start, deleted ranges. It
	// returns at least one element, and about as many as limit allows. The caller owns the elements. The hub
	// calls ReadAfter only with a seq before its own position, so there is at least one element after seq.
	ReadAfter(ctx context.Context, seq uint64, limit ReadLimit) ([]*Event, error)
	// SeqAt returns the position before the first event whose Time is t or later. It returns 0 if that event
	// is the oldest one in the log.
	SeqAt(ctx context.Context, t time.Time) (uint64, error)
	// Count returns the number of events in the log that match the set. It may stop when the count
	// reaches the parameter enough. The count includes every matching event that was delivered and is
	// still in the log.
	Count(ctx context.Context, set FilterSet, enough int) (int, error)
}

// Seeker is implemented by a Log that finds events without reading the events between them. The errors of all
// methods wrap ErrUnavailable if a retry may succeed.
type Seeker interface {
	// Newest returns the sequence numbers of the newest events up to seq that match the set, oldest
	// first. It returns fewer events than the parameter wanted only if the log contains no more.
	Newest(ctx context.Context, set FilterSet, seq uint64, wanted int) ([]uint64, error)
	// ReadEach returns the elements with the given sequence numbers, which are in ascending order. It
	// returns at least the first, and about as many as limit allows. A removed event is returned as a
	// deleted range.
	ReadEach(ctx context.Context, seqs []uint64, limit ReadLimit) ([]*Event, error)
}

// MatchReader is implemented by a Log that can read the events of a few topics without reading the other events between
// them.
type MatchReader interface {
	// ReadMatching returns the elements in (seq, through] that concern the set, in order: the events that
	// match the set, and all deleted ranges. An element with Erases set states that no matching event and no
	// deleted range is between the previous element and this one, nor at the element's own seq. Unless
	// ReadMatching stops at limit, the seq of the last element equals the parameter through. It returns at
	// least one element. After any error, the hub calls ReadAfter instead.
	ReadMatching(ctx context.Context, set FilterSet, seq, through uint64, limit ReadLimit) ([]*Event, error)
}

// IdempotentPublisher is implemented by engines that record publishes by idempotency key, including publishes through
// other hubs.
type IdempotentPublisher interface {
	// PublishOnce publishes under a subject's idempotency key. For IdempotencyPeriod, a repeated call returns the
	// first call's result and publishes nothing. The digest identifies the events: if it differs, the error is
	// ErrKeyReused. While the first call runs, the error is ErrKeyInUse.
	PublishOnce(ctx context.Context, subject, key string, digest Digest, events []*Event) (Cursor, error)
}

// BatchPublisher is implemented by engines that publish a batch at a lower cost if it need not be
// atomic.
type BatchPublisher interface {
	// PublishEach publishes as Publish does, but need not be atomic. If the error is a *PartialError, some of
	// the events are in the log, in order.
	PublishEach(ctx context.Context, events []*Event) (Cursor, error)
}

// OrderedPublisher is implemented by engines that publish a batch at a lower cost if it need not be atomic,
// and that keep the order of the events even then.
type OrderedPublisher interface {
	// PublishInOrder publishes as Publish does, but need not be atomic. If the error is a *PartialError, its
	// Stored field is a number n: the first n events are in the log. Each of the other events may be stored
	// or not.
	PublishInOrder(ctx context.Context, events []*Event) (Cursor, error)
}

// Eraser is implemented by engines that can remove a single event.
type Eraser interface {
	// Erase removes the event from the log and delivers an element with Erases set to all hubs, see Engine.Start. It
	// returns the seq of that element. A Log returns ErrNoEvent if it does not contain the event. For any other engine,
	// the hub checks that the event exists.
	Erase(ctx context.Context, seq uint64) (at uint64, err error)
}

// UniquePublisher is implemented by engines that use IDs to recognize events that are already in the log, including
// events from other hubs.
type UniquePublisher interface {
	// PublishUnique publishes as PublishEach does. ids[i] is the ID of events[i]. It skips events whose
	// ID another hub has already published. repeated is the number of skipped events.
	PublishUnique(ctx context.Context, ids []string, events []*Event) (repeated int, err error)
}

// Digest identifies a list of events. The same list has the same digest in every process.
type Digest [16]byte

// ReadLimit limits one read. An event larger than Bytes is returned alone.
type ReadLimit struct {
	Events int
	Bytes  int // approximate memory of the returned events
}
