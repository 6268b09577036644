package hub

import (
	"errors"
	"fmt"
)

// What Publish and Subscribe answer when nothing is wrong with what was asked.
var (
	// ErrClosed: the hub has been closed.
	ErrClosed = errors.New("the hub is closed")
	// ErrUnavailable: the engine cannot take events or confirm a position now; try again later.
	ErrUnavailable = errors.New("storage unavailable")
	// ErrNoEvent: the log has no event with this ID, or not any more.
	ErrNoEvent = errors.New("the log has no event with this ID")
	// ErrKeyReused: the idempotency key stands for other events.
	ErrKeyReused = errors.New("this idempotency key was used for other events")
	// ErrKeyInUse: the first publish under this idempotency key has not ended.
	ErrKeyInUse = errors.New("a publish with this idempotency key is under way")
	// ErrKeysFull: as many idempotency keys as the subject, or all, may have are remembered, and none is
	// forgotten early.
	ErrKeysFull = errors.New("too many idempotency keys are remembered")
)

// ErrOverloaded is an ErrUnavailable of an engine that takes no more at once now: nothing of the publish
// is in the log, nor will be.
var ErrOverloaded error = overloadedError{}

type overloadedError struct{}

func (overloadedError) Error() string {
	return "too much is being published at once; nothing of this was stored"
}

// Is makes the error an ErrUnavailable.
func (overloadedError) Is(target error) bool { return target == ErrUnavailable }

// PartialError is the error of a PublishEach of which a part was done.
type PartialError struct {
	Stored int // events that are in the log
	Err    error
}

func (e *PartialError) Error() string {
	return fmt.Sprintf("%d events are in the log, the rest is not: %v", e.Stored, e.Err)
}

func (e *PartialError) Unwrap() error { return e.Err }
