package hub

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// memoryEngine is the default engine. It stores no events itself, because the hub's in-memory log contains all of them.
// A restart begins a new epoch. It has no goroutine; Publish delivers the events before it returns.
type memoryEngine struct {
	mu      sync.Mutex
	deliver func([]*Event) // nil before Start and after Close
	last    Cursor
	clock   time.Time
	// clockOffset is the time of day minus the time that has passed since m.started, in nanoseconds,
	// according to the latest reading of the clocks. It changes when the machine's clock is set.
	clockOffset int64
	started     time.Time // static; with a reading of the monotonic clock
}

// NewMemory returns an engine that keeps events only in memory.
func NewMemory() Engine {
	return &memoryEngine{last: Cursor{Epoch: Epoch(rand.Uint32())}, started: time.Now()}
}

func (m *memoryEngine) Start(deliver func([]*Event)) (Cursor, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.deliver = deliver
	return m.last, nil
}

func (m *memoryEngine) Publish(_ context.Context, events []*Event) (Cursor, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.deliver == nil {
		return Cursor{}, ErrClosed
	}
	// The machine's clock may be set back. Event times must not decrease.
	now := time.Now()
	clockRead := now.UnixNano()
	m.clockOffset = clockRead - int64(now.Sub(m.started))
	if now = now.UTC().Round(0); now.After(m.clock) {
		m.clock = now
	}
	for _, e := range events {
		m.last.Seq++
		e.ID, e.Time, e.ageTime = m.last, m.clock, clockRead
	}
	m.deliver(events)
	return m.last, nil
}

// Erase implements Eraser. The hub erases the event from its in-memory log.
func (m *memoryEngine) Erase(_ context.Context, seq uint64) (at uint64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.deliver == nil {
		return 0, ErrClosed
	}
	m.deliver([]*Event{{ID: m.last, Erases: seq}})
	return m.last.Seq, nil
}

func (m *memoryEngine) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.deliver = nil
	return nil
}
