package hub

import (
	"errors"
	"fmt"
)

// Errors of Publish, Erase and Subscribe for valid input.
var (
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("the hub is closed")
	// ErrUnavailable is returned, wrapped in another error, if the engine cannot accept events or confirm a
	// position at present. A later retry may succeed.
	ErrUnavailable = errors.New("storage unavailable")
	// ErrNoEvent is returned if the log does not contain the event, or no longer contains it.
	ErrNoEvent = errors.New("the log has no event with this ID")
	// ErrKeyReused is returned if the idempotency key was used for different events.
	ErrKeyReused = errors.New("this idempotency key was used for other events")
	// ErrKeyInUse is returned while the first publish with the idempotency key is running.
	ErrKeyInUse = errors.New("a publish with this idempotency key is in progress")
	// ErrKeysFull is returned, wrapped in another error, if the hub or the subject has reached its limit of
	// recorded idempotency keys. Keys are never removed before they expire.
	ErrKeysFull = errors.New("too many idempotency keys are remembered")
)

// ErrOverloaded is returned if too many publishes are in progress. None of the events was or will be
// stored. errors.Is reports that ErrOverloaded is also ErrUnavailable.
var ErrOverloaded error = overloadedError{}

type overloadedError struct{}

func (overloadedError) Error() string {
	return "too many publishes in progress; no event was stored"
}

// Is implements the interface that errors.Is uses: overloadedError matches ErrUnavailable.
func (overloadedError) Is(target error) bool { return target == ErrUnavailable }

// PartialError is the error of a publish that stored only some of the events.
type PartialError struct {
	Stored int // number of stored events
	Err    error
}

func (e *PartialError) Error() string {
	return fmt.Sprintf("%d events were stored, the others were not: %v", e.Stored, e.Err)
}

func (e *PartialError) Unwrap() error { return e.Err }
