package jetstream

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/trivium-hub/trivium/hub"
)

// The leader sets the time of each message by its own clock, and the clocks of servers differ. Times
// can therefore decrease from one message to the next after an election, or after a clock was set back.
// JetStream searches for a time by bisection, which assumes increasing times, and may skip the first
// message with that time. The engine therefore records the clock regression: the largest amount by which
// the time of a message is earlier than the time of a preceding message. To find a time, the engine searches
// for the time minus the regression, so that it skips no message, and reads the messages from there on.

const (
	clockSamples = 64 // maximum number of sampled messages; they precede the first observed message
	maxSinceRead = 8  // maximum number of batches that are read to find the first message exactly; if they do not suffice, the subscriber starts earlier than requested
	sinceBatch   = 1000
)

// clocks observes the times of messages to determine the clock regression.
type clocks struct {
	sampling sync.Mutex // held while older messages are sampled; taken before mu
	sampled  bool       // guarded by sampling

	mu         sync.Mutex
	begin      uint64        // the first observed sequence; 0: none yet
	highest    time.Time     // latest time of the observed messages
	lowest     time.Time     // earliest time of the observed messages
	regression time.Duration // the clock regression so far
}

// observe records the time of a live message. Messages must be observed in the order of the stream.
func (c *clocks) observe(seq uint64, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.begin == 0 {
		c.begin, c.highest, c.lowest = seq, at, at
		return
	}
	if at.After(c.highest) {
		c.highest = at
	}
	if at.Before(c.lowest) {
		c.lowest = at
	}
	c.regression = max(c.regression, c.highest.Sub(at))
}

// observeOlder records the times of messages that precede the observed ones, in the order of the
// stream.
func (c *clocks) observeOlder(times []time.Time) {
	if len(times) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	highest := times[0]
	for _, at := range times {
		if at.After(highest) {
			highest = at
		}
		c.regression = max(c.regression, highest.Sub(at))
	}
	if c.begin > 0 {
		c.regression = max(c.regression, highest.Sub(c.lowest))
	}
	if highest.After(c.highest) {
		c.highest = highest
	}
}

// clockRegression returns the clock regression, as far as it is known. The first call also samples messages
// that precede the observed ones.
func (e *Engine) clockRegression(ctx context.Context, first, last uint64) (time.Duration, error) {
	c := &e.clocks
	c.sampling.Lock()
	defer c.sampling.Unlock()
	if !c.sampled {
		c.mu.Lock()
		end := last
		if c.begin > 0 {
			end = min(end, c.begin-1)
		}
		c.mu.Unlock()
		times, err := e.sampleTimes(ctx, first, end)
		if err != nil {
			return 0, err
		}
		c.observeOlder(times)
		c.sampled = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.regression, nil
}

// sampleTimes returns the times of some messages in [first, last], which are about evenly spaced.
func (e *Engine) sampleTimes(ctx context.Context, first, last uint64) (times []time.Time, err error) {
	if first == 0 || last < first {
		return nil, nil
	}
	n := min(clockSamples, last-first+1)
	all, err := concurrently(int(n), func(i int) (time.Time, error) {
		// The times are read from the leader, because a damaged replica may lack messages, and a
		// decrease of times could then be missed.
		m, err := e.getFromLeader(ctx, getRequest{Seq: first + uint64(i)*((last-first)/n), Next: e.prefix + ">"})
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return time.Time{}, nil // retention has removed the messages
		}
		return m.time, err
	})
	for _, at := range all {
		if !at.IsZero() {
			times = append(times, at)
		}
	}
	return times, err
}

// firstSince returns the position before the first event after seq whose time is t or later. If
// that event is more than maxSinceRead batches away, it returns an earlier position.
func (e *Engine) firstSince(ctx context.Context, seq, last uint64, t time.Time) (uint64, error) {
	for range maxSinceRead {
		if seq >= last {
			break
		}
		events, err := e.ReadAfter(ctx, seq, hub.ReadLimit{Events: sinceBatch, Bytes: seekBytes})
		if err != nil {
			return 0, err
		}
		for _, event := range events {
			if event.Topic == "" || event.Time.Before(t) {
				seq = event.ID.Seq
				continue
			}
			return seq, nil
		}
	}
	return seq, nil
}
