package hub

import (
	"context"
	"time"
)

// Engine decides the order of events and keeps it. The hub is its only user.
type Engine interface {
	// Start begins the engine and gives the position from which it will deliver. From then on
	// it calls deliver with every event of the log in the order of seq, each once, with ID and
	// Time set; never two calls at once. deliver does not block. Time is the same on every hub and in
	// every read, and may fall from one event to the next: the clocks of servers differ.
	//
	// An element without a topic is no event but a hole: what the log had between the element
	// before it and its ID, that included, is gone for everybody. But where its Erases is set, nothing is
	// lost: the event with that seq, delivered before or not, is to be removed, and whatever else the log
	// had between the element before and the ID was erased before or is no event. The seq of such an
	// element may be that of the element before it.
	Start(deliver func([]*Event)) (Cursor, error)
	// Publish puts the events at the end of the log, in their order and all or none, and gives
	// the ID of the last. The error wraps ErrUnavailable where trying again may help, and after
	// Close it is ErrClosed.
	Publish(ctx context.Context, events []*Event) (Cursor, error)
	// Close ends it. No deliver is under way or will come after.
	Close() error
}

// Log is what an Engine is too whose log outlasts the process, or is shared with other hubs: there
// may be more of it than has been delivered to this one, older and newer. The errors of all wrap
// ErrUnavailable where trying again may help.
type Log interface {
	// Tip gives the seq of the newest event, as known to whoever decides the order.
	Tip(ctx context.Context) (uint64, error)
	// ReadAfter gives what follows seq, in order, one element at least: events and, as in
	// Engine.Start, holes; they are the caller's. It ends about where the limit says. It is asked only
	// for what has been delivered or was there before.
	ReadAfter(ctx context.Context, seq uint64, limit ReadLimit) ([]*Event, error)
	// SeqAt gives the position before the first event whose Time is t or later, 0 if that is the
	// first that is left.
	SeqAt(ctx context.Context, t time.Time) (uint64, error)
	// Count gives how many events of the set are left in the log at least: all of them, where they are
	// fewer than enough. None that has been delivered and is left may be missing of them.
	Count(ctx context.Context, set FilterSet, enough int) (int, error)
}

// Seeker is implemented by a Log that finds events without reading what lies between them. The errors of all
// wrap ErrUnavailable where trying again may help.
type Seeker interface {
	// Newest returns the sequence numbers of the newest events of the set up to seq, oldest first: wanted of
	// them, or fewer if the log has no more.
	Newest(ctx context.Context, set FilterSet, seq uint64, wanted int) ([]uint64, error)
	// ReadEach returns the elements with these sequence numbers, which rise: the first at least, and then
	// about as many as the limit says. One that is gone is a hole.
	ReadEach(ctx context.Context, seqs []uint64, limit ReadLimit) ([]*Event, error)
}

// Deduplicator is what an Engine is too that itself knows which keyed publishes were done, be it
// by another hub.
type Deduplicator interface {
	// PublishOnce is Publish under a subject's idempotency key: for two minutes a second one gives
	// the first's answer, and publishes nothing. The digest tells whether it is of the same events;
	// further errors are ErrKeyReused and ErrKeyBusy.
	PublishOnce(ctx context.Context, subject, key string, digest Digest, events []*Event) (Cursor, error)
}

// Streamer is what an Engine is too to which many events at once cost less if they need not be all
// or none.
type Streamer interface {
	// PublishEach is Publish, but where the error is a *PartialError some of the events are in
	// the log, in their order.
	PublishEach(ctx context.Context, events []*Event) (Cursor, error)
}

// OrderedPublisher is implemented by engines to which many events at once cost less if those that are stored
// may be the first of them alone.
type OrderedPublisher interface {
	// PublishInOrder is Publish, but where the error is a *PartialError as many of the first events are in the
	// log as it says. Whether the others are is not known.
	PublishInOrder(ctx context.Context, events []*Event) (Cursor, error)
}

// Eraser is implemented by engines that can remove a single event.
type Eraser interface {
	// Erase removes the event from the log and has that delivered, as Start describes, to all hubs. It returns
	// the seq of the element delivered. The error is ErrNoEvent where an engine that is a Log has no such
	// event; of another engine the hub knows.
	Erase(ctx context.Context, seq uint64) (at uint64, err error)
}

// UniquePublisher is implemented by engines that know by an ID which events are in the log, be it from
// another hub.
type UniquePublisher interface {
	// PublishUnique is PublishEach of events that have an ID each, at the same index of ids. One whose ID
	// another hub published before is left out; repeated is how many those were.
	PublishUnique(ctx context.Context, ids []string, events []*Event) (repeated int, err error)
}
