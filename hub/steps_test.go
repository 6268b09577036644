package hub

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func gatherAll(ix *index, t *topicTokens) []*group {
	found, _ := ix.gather(nil, t, new(gatherState), math.MaxInt)
	return found
}

// lockHolds counts how many groups change, and how many events are added and removed, each time that Hub.mu
// is held. It compares snapshots of the hub, and does not rely on the counts of deliver.
type lockHolds struct {
	hub                   *Hub
	groups, added, popped int // the largest number between two releases of the lock
	count                 int
	last                  map[*group]uint64
	lastSeq, lowWatermark uint64
}

func countHolds(h *Hub) *lockHolds {
	c := &lockHolds{hub: h}
	h.mu.Lock()
	defer h.mu.Unlock()
	c.note()
	h.yielded = func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		c.compare()
	}
	return c
}

func (c *lockHolds) note() {
	c.last = make(map[*group]uint64)
	for _, g := range c.hub.groups {
		c.last[g] = g.last
	}
	c.lastSeq, c.lowWatermark = c.hub.memlog.lastSeq, c.hub.memlog.lowWatermark
}

// compare counts the changes since the lock was last held.
func (c *lockHolds) compare() {
	changed := 0
	for _, g := range c.hub.groups {
		if before, known := c.last[g]; known && before != g.last {
			changed++
		}
	}
	c.count++
	c.groups = max(c.groups, changed)
	c.added = max(c.added, int(c.hub.memlog.lastSeq-c.lastSeq))
	c.popped = max(c.popped, int(c.hub.memlog.lowWatermark-c.lowWatermark))
	c.note()
}

func subscribeTo(t *testing.T, h *Hub, filter string) (*Subscription, Wakeup) {
	wakeup := NewWakeup()
	s, err := h.Subscribe(Request{Filters: setOf(filter)}, wakeup)
	require.NoError(t, err)
	return s, wakeup
}

// The test counts how much work deliver does before it releases the lock: for batches of 1000 events
// whose topics are long and all different, and for an event that matches 3000 groups.
func TestDeliverReleasesTheLock(t *testing.T) {
	h := startHub(t, Config{Retention: Retention{Events: 1000}})
	c := countHolds(h)
	batch := func(from int) []*Event {
		events := make([]*Event, 1000)
		for i := range events {
			events[i] = &Event{Topic: fmt.Sprintf("a%d.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p", from+i)}
		}
		return events
	}
	for i := range 3 { // the second and third batch remove 1000 events each
		_, err := h.Publish(t.Context(), batch(1000*i)...)
		require.NoError(t, err)
		c.compare()
	}
	require.LessOrEqual(t, c.added, maxSteps/MaxTopicTokens)
	require.LessOrEqual(t, c.popped, maxRemovals)
	require.GreaterOrEqual(t, c.count, 3000/(maxSteps/MaxTopicTokens))

	const groups = 3000
	subs := make([]*Subscription, groups)
	wakeups := make([]Wakeup, groups)
	for i := range subs {
		subs[i], wakeups[i] = subscribeTo(t, h, fmt.Sprintf("*.wanted.%d.>", i))
		if i%2 == 0 {
			subs[i].SetFilters(setOf("x.wanted.>", fmt.Sprint("y.", i)))
		}
	}
	c.note()
	c.count = 0
	_, err := h.Publish(t.Context(), &Event{Topic: "x.wanted.7.z"})
	require.NoError(t, err)
	c.compare()
	require.LessOrEqual(t, c.groups, maxSteps)
	require.Greater(t, c.count, groups/2/maxSteps)
	for i, s := range subs {
		want := 0
		if i%2 == 0 || i == 7 {
			want = 1
			<-wakeups[i]
		}
		require.Len(t, s.Read(wideLimit).Events, want, "%d", i)
	}
}

// The test reads while the hub has added an event to only some groups. Each subscriber receives the
// event once, whether or not its group has it yet, and whether it reads at that time or is woken later.
func TestReadWhileAnEventIsAdded(t *testing.T) {
	h := startHub(t, Config{Workers: 1})
	const groups = 4 * maxSteps
	subs := make([]*Subscription, groups)
	got := make([]int, groups)
	for i := range subs {
		subs[i], _ = subscribeTo(t, h, fmt.Sprintf("*.%d", i))
		subs[i].SetFilters(setOf(fmt.Sprint("y.", i), "x.wanted"))
	}
	var late []*Subscription
	var lateWant []int
	pauses := 0
	h.yielded = func() {
		pauses++
		lastSeq := h.Position()
		for i := pauses % 3; i < groups; i += 3 {
			b := subs[i].Read(wideLimit)
			assert.Nil(t, b.Gap)
			got[i] += len(b.Events)
			assert.Equal(t, lastSeq, subs[i].Position())
		}
		s, _ := subscribeTo(t, h, fmt.Sprint("late.", pauses))
		late, lateWant = append(late, s), append(lateWant, 0)
		cursor := Cursor{h.epoch, 0}
		s, err := h.Subscribe(Request{Filters: setOf("x.wanted", fmt.Sprint("late.", pauses)), Start: Start{Cursor: &cursor}}, NewWakeup())
		assert.NoError(t, err)
		late, lateWant = append(late, s), append(lateWant, 1)
	}
	_, err := h.Publish(t.Context(), &Event{Topic: "x.wanted"})
	require.NoError(t, err)
	require.GreaterOrEqual(t, pauses, groups/maxSteps-1)
	for i, s := range subs {
		require.Equal(t, 1, got[i]+len(s.Read(wideLimit).Events), "%d", i)
	}
	for i, s := range late {
		require.Len(t, s.Read(wideLimit).Events, lateWant[i])
	}
}

// scriptedEngine is an engine with a log that delivers exactly what the test passes to it.
type scriptedEngine struct {
	Engine
	deliver func([]*Event)
}

func (e *scriptedEngine) Start(deliver func([]*Event)) (Cursor, error) {
	e.deliver = deliver
	return e.Engine.Start(deliver)
}

// The test counts the groups that deliver moves past a deleted range before it releases the lock.
func TestDeletedRangeReleasesTheLock(t *testing.T) {
	engine := &scriptedEngine{Engine: NewMemory()}
	h := startHub(t, Config{Engine: engine})
	const groups = 3000
	wakeups := make([]Wakeup, groups)
	for i := range wakeups {
		_, wakeups[i] = subscribeTo(t, h, fmt.Sprint("a.", i))
	}
	c := countHolds(h)
	engine.deliver([]*Event{{ID: Cursor{h.epoch, 10}}})
	c.compare()
	require.LessOrEqual(t, c.groups, maxSteps)
	require.GreaterOrEqual(t, c.count, groups/maxSteps)
	for _, wakeup := range wakeups {
		<-wakeup
	}
}

// The result of hadReadAll does not depend on whether the group has been updated for the deleted
// range.
func TestHadReadAllBeforeTheGroupIsUpdated(t *testing.T) {
	l := newMemlog(Retention{}.withDefaults(), 0)
	for _, g := range []*group{{last: 5}, {last: 5, rangeEnd: 5, beforeRange: 3}} {
		l.adding = addition{true, 9, 12}
		var before [15]bool
		for seq := range before {
			before[seq] = g.hadReadAll(uint64(seq), l)
		}
		g.skipDeletedRange(12)
		l.adding = addition{}
		for seq := range before {
			require.Equal(t, g.hadReadAll(uint64(seq), l), before[seq], "at %d", seq)
		}
	}
}

// The test counts the delivery waits that end before the lock is released.
func TestEndingWaitsReleasesTheLock(t *testing.T) {
	h := startHub(t, Config{})
	const waits = 2000
	ended := make(chan bool, waits)
	for i := range uint64(waits) {
		go func() { ended <- h.waitDelivered(t.Context(), 1+(i*7)%3) }()
	}
	waiting := func() int {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.deliveryWaits)
	}
	require.Eventually(t, func() bool { return waiting() == waits }, time.Minute, time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.False(t, h.waitDelivered(ctx, 1))
	before, limit := waits, 0
	h.yielded = func() {
		now := waiting()
		before, limit = now, max(limit, before-now)
	}
	_, err := h.Publish(t.Context(), &Event{Topic: "a"}, &Event{Topic: "a"})
	require.NoError(t, err)
	h.yielded()
	require.Equal(t, maxWaitsEnded, limit)
	require.InDelta(t, waits/3, before, 1)
	_, err = h.Publish(t.Context(), &Event{Topic: "a"})
	require.NoError(t, err)
	for range waits {
		require.True(t, <-ended)
	}
	require.Zero(t, waiting())
}

// If groups are removed and added while the index is searched in pieces, each remaining group is
// found once.
func TestGatherContinuesWhileGroupsChange(t *testing.T) {
	ix := newIndex()
	var topic topicTokens
	topic.split("a.b." + strings.Repeat("c.", 3) + "d")
	stay := make(map[*group]int)
	var gone []*group
	add := func(i int) *group {
		g := &group{set: setOf("*.*.*.*.*.d", fmt.Sprint("none.", i))}
		ix.add(g)
		return g
	}
	for i := range 1000 {
		if g := add(i); i%3 == 0 {
			gone = append(gone, g)
		} else {
			stay[g] = 0
		}
	}
	var state gatherState
	var found []*group
	for n, done := 1000, false; !done; n++ {
		before := len(found)
		found, done = ix.gather(found, &topic, &state, 10)
		require.LessOrEqual(t, len(found)-before, 10)
		for range 5 {
			if len(gone) > 0 {
				ix.remove(gone[(n*7)%len(gone)])
				gone[(n*7)%len(gone)] = gone[len(gone)-1]
				gone = gone[:len(gone)-1]
			}
		}
		add(n)
	}
	for _, g := range found {
		if _, ok := stay[g]; ok {
			stay[g]++
		}
	}
	for _, n := range stay {
		require.Equal(t, 1, n)
	}
}
