package outlet

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
type Group struct {
	heartbeat time.Duration // static
	encodings *Encodings    // static
	draining  chan struct{} // closed when Drain begins
	stop      chan struct{} // closed by Close
	running   sync.WaitGroup

	mu     sync.Mutex
	slots  [heartbeatSlots][]*Outlet // members, by when they beat
	count  int
	left   chan struct{} // closed when the last member leaves; nil while nobody waits for it
	over   bool          // no more members: Drain has begun, or Close
	closed bool          // no more goroutines
	poller *poller       // of connections that are watched; nil: of none yet
}

// NewGroup makes a group whose members beat every heartbeat; 0: never. Close ends it.
func NewGroup(heartbeat time.Duration) *Group {
	g := &Group{heartbeat: heartbeat, encodings: newEncodings(), draining: make(chan struct{}), stop: make(chan struct{})}
	if heartbeat > 0 {
		g.running.Go(g.beat)
	}
	return g
}

// Heartbeat is the period between two heartbeats of a member; 0: there are none.
func (g *Group) Heartbeat() time.Duration { return g.heartbeat }

// Encodings returns the encodings that slow connections hold.
func (g *Group) Encodings() *Encodings { return g.encodings }

// Go runs f in a goroutine for which Close waits. After Close, when every connection is cut and f
// has little to do, it calls f.
func (g *Group) Go(f func()) {
	g.mu.Lock()
	closed := g.closed
	if !closed {
		g.running.Go(f)
	}
	g.mu.Unlock()
	if closed {
		f()
	}
}

// Draining is closed when no new subscription is taken any more.
func (g *Group) Draining() <-chan struct{} { return g.draining }

// IsDraining reports that Draining is closed.
func (g *Group) IsDraining() bool {
	select {
	case <-g.draining:
		return true
	default:
		return false
	}
}

// join makes o a member with a heartbeat at a random moment of the period.
func (g *Group) join(o *Outlet) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		return false
	}
	o.slot = rand.Int32N(heartbeatSlots)
	o.index = int32(len(g.slots[o.slot]))
	g.slots[o.slot] = append(g.slots[o.slot], o)
	g.count++
	return true
}

func (g *Group) leave(o *Outlet) {
	g.mu.Lock()
	defer g.mu.Unlock()
	slot := g.slots[o.slot]
	last := len(slot) - 1
	slot[o.index] = slot[last]
	slot[o.index].index = o.index
	slot[last] = nil
	g.slots[o.slot] = slot[:last]
	g.count--
	if g.count == 0 && g.left != nil {
		close(g.left)
		g.left = nil
	}
}

// members gives those of the slots from i up to j.
func (g *Group) members(i, j int) []*Outlet {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Concat(g.slots[i:j]...)
}

func (g *Group) beat() {
	ticker := time.NewTicker(max(g.heartbeat/heartbeatSlots, time.Millisecond))
	defer ticker.Stop()
	for i := 0; ; i = (i + 1) % heartbeatSlots {
		select {
		case <-g.stop:
			return
		case <-ticker.C:
		}
		for _, o := range g.members(i, i+1) {
			o.Beat()
		}
	}
}

// goawayShare is the part of a drain within which the last member is told to go; the rest is
// for it to take what was accepted and leave.
const goawayShare = 0.75

// Drain takes no new member, delivers to each of them all that was accepted before, and tells
// it at a random moment of the window to come back after a random time. Who is still there when
// the window ends, or ctx does, is cut.
func (g *Group) Drain(ctx context.Context, window time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, window)
	defer cancel()
	left := g.close()
	close(g.draining)
	members := g.members(0, heartbeatSlots)
	rand.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	moments := make([]time.Duration, len(members))
	for i := range moments {
		moments[i] = rand.N(time.Duration(float64(window)*goawayShare) + 1)
	}
	slices.Sort(moments)
	begin := time.Now()
	for i, o := range members {
		if wait(ctx, time.Until(begin.Add(moments[i]))) {
			o.Goaway(returnTime(window))
		}
	}
	select {
	case <-left:
	case <-ctx.Done():
	}
	for _, o := range g.members(0, heartbeatSlots) {
		o.Kill()
	}
}

// close lets nobody in any more; what it gives is closed when nobody is left.
func (g *Group) close() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
	left := make(chan struct{})
	if g.count == 0 {
		close(left)
	} else {
		g.left = left
	}
	return left
}

// returnTime is a random time after which to come back to a hub that goes away: the window in
// which its connections end is as long again for their return, after a second.
func returnTime(window time.Duration) time.Duration {
	return (time.Second + rand.N(window+1)).Round(time.Millisecond)
}

// wait reports whether d went by before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
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
func (g *Group) Close() {
	g.close()
	for _, o := range g.members(0, heartbeatSlots) {
		o.Kill()
	}
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	if g.poller != nil {
		g.poller.close() // waits for it, which may call Go
	}
	close(g.stop)
	g.running.Wait()
}
