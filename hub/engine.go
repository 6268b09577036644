package hub

import "context"

// Engine decides the order of events and keeps it. The hub is its only user.
type Engine interface {
	// Start begins the engine and gives the position from which it will deliver. From then on
	// it calls deliver with every event of the log in the order of seq, each once, with ID and
	// Time set and Time never falling; never two calls at once. deliver does not block.
	Start(deliver func([]*Event)) (Cursor, error)
	// Publish puts the events at the end of the log, in their order and all or none, and gives
	// the ID of the last. The error wraps ErrUnavailable where trying again may help, and after
	// Close it is ErrClosed.
	Publish(ctx context.Context, events []*Event) (Cursor, error)
	// Close ends it. No deliver is under way or will come after.
	Close() error
}
