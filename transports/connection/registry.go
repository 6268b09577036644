package connection

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// heartbeatSlots is into how many parts a heartbeat period is divided: the connections are spread
// over them, so that ten thousand do not beat at once.
const heartbeatSlots = 64

// Group is all connections of a hub. It owns their drain goroutines and whatever else they start
// with Go, beats for them, and drains them.
type Registry struct {
	heartbeat time.Duration  // static
	cache     *EncodingCache // static
	draining  chan struct{}  // closed when Drain begins
	stop      chan struct{}  // closed by Close
	running   sync.WaitGroup

	mu           sync.Mutex
	slots        [heartbeatSlots][]*Writer // members, by when they beat
	count        int
	empty        chan struct{} // closed when the last member leaves; nil while nobody waits for it
	noNewMembers bool          // no more members: Drain has begun, or Close
	closed       bool          // no more goroutines
	poller       *poller       // of connections that are watched; nil: of none yet
}

// NewGroup makes a group whose members beat every heartbeat; 0: never. Close ends it.
func NewRegistry(heartbeat time.Duration) *Registry {
	g := &Registry{heartbeat: heartbeat, cache: newEncodingCache(), draining: make(chan struct{}), stop: make(chan struct{})}
	if heartbeat > 0 {
		g.running.Go(g.runHeartbeats)
	}
	return g
}

// Heartbeat is the period between two heartbeats of a member; 0: there are none.
func (r *Registry) Heartbeat() time.Duration { return r.heartbeat }

// Encodings returns the encodings that slow connections hold.
func (r *Registry) EncodingCache() *EncodingCache { return r.cache }

// Go runs f in a goroutine for which Close waits. After Close, when every connection is cut and f
// has little to do, it calls f.
func (r *Registry) Go(f func()) {
	r.mu.Lock()
	closed := r.closed
	if !closed {
		r.running.Go(f)
	}
	r.mu.Unlock()
	if closed {
		f()
	}
}

// Draining is closed when no new subscription is taken any more.
func (r *Registry) Draining() <-chan struct{} { return r.draining }

// IsDraining reports that Draining is closed.
func (r *Registry) IsDraining() bool {
	select {
	case <-r.draining:
		return true
	default:
		return false
	}
}

// join makes o a member with a heartbeat at a random moment of the period.
func (r *Registry) add(o *Writer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.noNewMembers {
		return false
	}
	o.slot = rand.Int32N(heartbeatSlots)
	o.index = int32(len(r.slots[o.slot]))
	r.slots[o.slot] = append(r.slots[o.slot], o)
	r.count++
	return true
}

func (r *Registry) remove(o *Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	slot := r.slots[o.slot]
	last := len(slot) - 1
	slot[o.index] = slot[last]
	slot[o.index].index = o.index
	slot[last] = nil
	r.slots[o.slot] = slot[:last]
	r.count--
	if r.count == 0 && r.empty != nil {
		close(r.empty)
		r.empty = nil
	}
}

// members gives those of the slots from i up to j.
func (r *Registry) members(i, j int) []*Writer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Concat(r.slots[i:j]...)
}

func (r *Registry) runHeartbeats() {
	ticker := time.NewTicker(max(r.heartbeat/heartbeatSlots, time.Millisecond))
	defer ticker.Stop()
	for i := 0; ; i = (i + 1) % heartbeatSlots {
		select {
		case <-r.stop:
			return
		case <-ticker.C:
		}
		for _, o := range r.members(i, i+1) {
			o.Heartbeat()
		}
	}
}

// goawayShare is the part of a drain within which the last member is told to go; the rest is
// for it to take what was accepted and leave.
const goawayFraction = 0.75

// Drain takes no new member, delivers to each of them all that was accepted before, and tells
// it at a random moment of the window to come back after a random time. Who is still there when
// the window ends, or ctx does, is cut.
func (r *Registry) Drain(ctx context.Context, window time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, window)
	defer cancel()
	left := r.refuseNewMembers()
	close(r.draining)
	members := r.members(0, heartbeatSlots)
	rand.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	moments := make([]time.Duration, len(members))
	for i := range moments {
		moments[i] = rand.N(time.Duration(float64(window)*goawayFraction) + 1)
	}
	slices.Sort(moments)
	begin := time.Now()
	for i, o := range members {
		if sleep(ctx, time.Until(begin.Add(moments[i]))) {
			o.Goaway(retryDelay(window))
		}
	}
	select {
	case <-left:
	case <-ctx.Done():
	}
	for _, o := range r.members(0, heartbeatSlots) {
		o.Abort()
	}
}

// close lets nobody in any more; what it gives is closed when nobody is left.
func (r *Registry) refuseNewMembers() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noNewMembers = true
	left := make(chan struct{})
	if r.count == 0 {
		close(left)
	} else {
		r.empty = left
	}
	return left
}

// returnTime is a random time after which to come back to a hub that goes away: the window in
// which its connections end is as long again for their return, after a second.
func retryDelay(window time.Duration) time.Duration {
	return (time.Second + rand.N(window+1)).Round(time.Millisecond)
}

// wait reports whether d went by before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Close cuts all members and waits for every goroutine of the group.
func (r *Registry) Close() {
	r.refuseNewMembers()
	for _, o := range r.members(0, heartbeatSlots) {
		o.Abort()
	}
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	if r.poller != nil {
		r.poller.close() // waits for it, which may call Go
	}
	close(r.stop)
	r.running.Wait()
}
