package connection

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// heartbeatSlots is the number of parts into which a heartbeat period is divided. Each connection
// belongs to one part, so that the hub does not write ten thousand heartbeats at once.
const heartbeatSlots = 64

// Registry holds all connections of a hub: its members, which have a Writer, and the parked connections.
// It owns the drain goroutines of the members and the goroutines started with Go, writes heartbeats, and
// drains the connections at shutdown.
type Registry struct {
	heartbeat time.Duration  // static
	cache     *EncodingCache // static
	draining  chan struct{}  // closed when Drain begins
	stop      chan struct{}  // closed by Close
	running   sync.WaitGroup

	mu           sync.Mutex
	slots        [heartbeatSlots][]*Writer // members, by the part of the period in which their heartbeat is due
	count        int                       // number of members
	empty        chan struct{}             // closed when the last member is removed; nil while no Drain waits for that
	noNewMembers bool                      // Drain or Close was called: no more members are accepted
	closed       bool                      // Close was called: Go starts no more goroutines
	poller       *poller                   // nil until the first connection is watched

	parked    []*Parked                  // parked connections, with or without a waiting poll
	listening map[int]int                // number of Listeners by port
	wrapped   map[int]bool               // see setWrapped
	returned  map[*http.Server]*returned // listeners that return parked connections to their servers
}

// NewRegistry returns a registry. heartbeat is the interval between two heartbeats to a connection; 0: no
// heartbeats. encodingBytes limits the encodings that are attached to events of the in-memory log; 0:
// DefaultEncodingBytes. Close must be called.
func NewRegistry(heartbeat time.Duration, encodingBytes int64) *Registry {
	cache := newEncodingCache(cmp.Or(encodingBytes, DefaultEncodingBytes))
	g := &Registry{heartbeat: heartbeat, cache: cache, draining: make(chan struct{}), stop: make(chan struct{})}
	if heartbeat > 0 {
		g.running.Go(g.runHeartbeats)
	}
	return g
}

// Heartbeat returns the interval between two heartbeats to a connection; 0: there are none.
func (r *Registry) Heartbeat() time.Duration { return r.heartbeat }

// EncodingCache returns the cache of the encodings that all connections share.
func (r *Registry) EncodingCache() *EncodingCache { return r.cache }

// Go calls f in a goroutine for which Close waits. After Close, Go calls f in the caller's goroutine;
// all connections are then closed, so f returns soon.
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

// Draining returns a channel that is closed when new subscriptions are no longer accepted.
func (r *Registry) Draining() <-chan struct{} { return r.draining }

// IsDraining reports whether the channel from Draining is closed.
func (r *Registry) IsDraining() bool {
	select {
	case <-r.draining:
		return true
	default:
		return false
	}
}

// add makes o a member, and randomly chooses the part of the heartbeat period in which the heartbeats
// of o are due. It returns false if no more members are accepted.
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
	r.signalEmpty()
}

// signalEmpty wakes Drain if no member and no parked connection is left. mu must be held.
func (r *Registry) signalEmpty() {
	if r.count+len(r.parked) == 0 && r.empty != nil {
		close(r.empty)
		r.empty = nil
	}
}

// members returns the members in the slots from i to j-1.
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

// goawayFraction is the fraction of the drain window during which the goaway messages are sent. During
// the rest of the window, the last members can still read the events that the hub has accepted.
const goawayFraction = 0.75

// Drain calls DrainSpread with a spread of three quarters of the window.
func (r *Registry) Drain(ctx context.Context, window time.Duration) {
	r.DrainSpread(ctx, time.Duration(float64(window)*goawayFraction), window)
}

// DrainSpread makes the registry refuse new members. It sends each member a goaway message with a random
// retry delay, at a random time within spread. The message follows all events that the hub has accepted
// by that time. DrainSpread closes the members that remain when the window or ctx ends. Tests use a short
// spread with a long window, so that members are not closed on a slow machine.
func (r *Registry) DrainSpread(ctx context.Context, spread, window time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, window)
	defer cancel()
	left := r.refuseNewMembers()
	close(r.draining)
	r.drainParked(ctx)
	members := r.members(0, heartbeatSlots)
	rand.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	moments := make([]time.Duration, len(members))
	for i := range moments {
		moments[i] = rand.N(spread + 1)
	}
	slices.Sort(moments)
	start := time.Now()
	for i, o := range members {
		if sleep(ctx, time.Until(start.Add(moments[i]))) {
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
	for _, p := range r.parkedNow() {
		p.owner.Abort()
	}
}

// refuseNewMembers makes the registry refuse new members. It returns a channel that is closed when no
// member is left.
func (r *Registry) refuseNewMembers() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noNewMembers = true
	left := make(chan struct{})
	if r.count+len(r.parked) == 0 {
		close(left)
	} else {
		r.empty = left
	}
	return left
}

// retryDelay returns a random delay after which a client should reconnect, between one second and one
// second plus window.
func retryDelay(window time.Duration) time.Duration {
	return (time.Second + rand.N(window+1)).Round(time.Millisecond)
}

// sleep blocks for d. It returns false if ctx ends first.
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

// Close closes all members and waits for every goroutine of the registry.
func (r *Registry) Close() {
	r.refuseNewMembers()
	for _, o := range r.members(0, heartbeatSlots) {
		o.Abort()
	}
	for _, p := range r.parkedNow() {
		p.owner.Abort()
	}
	r.mu.Lock()
	r.closed = true
	for _, l := range r.returned {
		_ = l.Close()
	}
	r.mu.Unlock()
	if r.poller != nil {
		r.poller.close() // waits for the poller goroutine, which may call Go
	}
	close(r.stop)
	r.running.Wait()
}
