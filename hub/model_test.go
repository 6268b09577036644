package hub

import (
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestModel starts subscribers that connect, disconnect and resume, change their filters and restart at
// random. Meanwhile, publishers publish, events are erased, and retention removes events. Each subscriber
// must receive exactly the events that match its filters, in order and once, or an exact gap. TRIVIUM_LONG=1
// runs the test ten times as long. TRIVIUM_SEED=N starts with the seed of a failed run, but the order in
// which goroutines run differs.
func TestModel(t *testing.T) {
	const episodes = 20
	operations := 100_000
	switch {
	case runtime.GOOS == "js":
		operations = 5_000
	case os.Getenv("TRIVIUM_LONG") != "":
		operations = 1_000_000
	}
	seed := rand.Uint64()
	if s := os.Getenv("TRIVIUM_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	for i := range uint64(episodes) {
		synctest.Test(t, func(t *testing.T) {
			runModel(t, seed+i, operations/episodes)
		})
		if t.Failed() {
			return
		}
	}
}

// model is one hub with its publishers and subscribers.
type model struct {
	t         *testing.T
	seed      uint64
	hub       *Hub
	truth     *truth
	gapTopics int
	begin     time.Time
	sets      []int // indexes in modelSets of the filter sets that subscribers choose
	slow      bool  // workers offer some batches slowly
	failed    atomic.Bool
	erased    atomic.Uint64
	attached  atomic.Int64 // number of attachments that were not discarded

	mu    sync.Mutex
	rng   *rand.Rand
	conns []*conn // index: subscriber
}

// fail reports the first deviation from the model. It ignores later deviations, which are probably
// consequences of the first.
func (m *model) fail(format string, args ...any) {
	if !m.failed.Swap(true) {
		m.t.Errorf("TRIVIUM_SEED=%d: "+format, append([]any{m.seed}, args...)...)
	}
}

func (m *model) lowWatermark() uint64 {
	m.hub.mu.RLock()
	defer m.hub.mu.RUnlock()
	return m.hub.memlog.lowWatermark
}

func runModel(t *testing.T, seed uint64, operations int) {
	const subscribers, publishers = 10, 2
	rng := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, n)) }
	m := &model{t: t, seed: seed, truth: newTruth(), rng: rng(0), begin: time.Now()}
	m.gapTopics = []int{1, 3, 10, 1000}[m.rng.IntN(4)]
	m.hub = startHub(t, Config{Engine: m.truth, Workers: 1 + m.rng.IntN(4), Retention: Retention{
		Events:    1 + m.rng.IntN([]int{10, 300, 5000}[m.rng.IntN(3)]),
		Bytes:     []int64{3000, 50_000, 1 << 30}[m.rng.IntN(3)],
		Age:       []time.Duration{10 * time.Millisecond, time.Second, time.Hour}[m.rng.IntN(3)],
		GapTopics: m.gapTopics,
	}})
	m.hub.memlog.visits = []int{1, 3, 20, maxVisits}[m.rng.IntN(4)]
	m.hub.steps = []int{1, 2, 5, maxSteps}[m.rng.IntN(4)]
	m.hub.shardSize = []int{1, 2, 3, maxShardSize}[m.rng.IntN(4)]
	m.hub.memlog.topics.searchLimit = []int{0, 5, maxTopicSearch}[m.rng.IntN(3)]
	for i := range modelSets {
		m.sets = append(m.sets, i)
	}
	if m.rng.IntN(2) == 0 { // most subscribers are in two groups, which have several shards
		m.rng.Shuffle(len(m.sets), func(i, j int) { m.sets[i], m.sets[j] = m.sets[j], m.sets[i] })
		m.sets = m.sets[:2]
		m.hub.memlog.visits = maxVisits // each event concerns most subscribers; with fewer visits, they would read the events one by one
	}
	if m.slow = m.rng.IntN(4) == 0; m.slow {
		m.hub.memlog.visits, m.truth.patience = maxVisits, time.Second
	}
	m.truth.hub = m.hub
	m.conns = make([]*conn, subscribers)
	for i := range m.conns {
		m.conns[i] = &conn{m: m, writing: true}
	}
	stop := make(chan struct{})
	var publishing, subscribing sync.WaitGroup
	for i := range publishers {
		publishing.Go(func() { m.publish(rng(uint64(i)+1), stop) })
	}
	publishing.Go(func() { m.erase(rng(50), stop) })
	for i := range subscribers {
		subscribing.Go(func() { m.subscribe(i, rng(uint64(i)+100), operations/subscribers) })
	}
	subscribing.Wait()
	close(stop)
	publishing.Wait()
	m.publishBatch(rng(60), 3*maxPendingEvents) // the last batch: no later event wakes a subscriber that missed its wakeup
	if m.slow {
		time.Sleep(time.Minute) // by then, no worker is delayed
	}
	synctest.Wait()
	m.checkFinalState()
}

// subscribe simulates one subscriber. It connects, restarts the subscription or changes the filters n times
// in total, at random.
func (m *model) subscribe(i int, rng *rand.Rand, n int) {
	var c *conn
	for done := 0; done < n && !m.failed.Load(); {
		if c == nil {
			c = m.attach(i, rng)
			done++
		}
		for range rng.IntN(6) {
			time.Sleep(time.Duration(rng.IntN(1500)) * time.Microsecond)
			c.step()
		}
		switch rng.IntN(6) {
		case 0:
			c.restart()
			done++
		case 1, 2:
			c.refilter()
			done++
		default:
			c.close()
			if rng.IntN(20) == 0 {
				time.Sleep(30 * time.Millisecond)
			}
			c = m.attach(i, rng)
			done++
		}
	}
}

// attach replaces the connection of subscriber i with a new one, which resumes or starts elsewhere.
func (m *model) attach(i int, rng *rand.Rand) *conn {
	m.mu.Lock()
	old := m.conns[i]
	m.mu.Unlock()
	c := &conn{m: m, writing: true, rng: rand.New(rand.NewPCG(rng.Uint64(), 0)), conflate: rng.IntN(5) == 0}
	if rng.IntN(2) == 0 {
		c.wakeup = NewWakeup()
	}
	old.mu.Lock()
	seen := uint64(0)
	if old.sub != nil && old.foreign == "" {
		old.rng = rng
		seen = old.anyCursor()
		old.rng = rand.New(rand.NewPCG(rng.Uint64(), 0))
	}
	old.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.randomRequest(seen)
	lastSeq := m.hub.Position().Seq
	sub, err := m.hub.Subscribe(r, c)
	if err != nil {
		m.fail("subscribe: %v", err)
		return c
	}
	c.sub = sub
	c.recordStart(r.Start, lastSeq)
	c.writing = c.wakeup != nil || sub.Behind()
	m.mu.Lock()
	m.conns[i] = c
	m.mu.Unlock()
	return c
}

// delayBatch sometimes delays a worker that offers a batch. Other workers may then offer later batches
// to other shards of the group.
func (m *model) delayBatch() {
	if !m.slow {
		return
	}
	m.mu.Lock()
	delay := time.Duration(0)
	if m.rng.IntN(10) == 0 {
		delay = time.Duration(m.rng.IntN(5000)) * time.Microsecond
	}
	m.mu.Unlock()
	time.Sleep(delay)
}

// changeFiltersInBatch changes the filters of a random connection. Worker goroutines call it while
// they offer a batch, so that a subscription may be offered a batch of a group that it has left.
func (m *model) changeFiltersInBatch() {
	m.mu.Lock()
	c := m.conns[m.rng.IntN(len(m.conns))]
	ok := m.rng.IntN(20) == 0
	m.mu.Unlock()
	if ok {
		c.refilter()
	}
}

// checkFinalState checks the state after the last publish and the last batch. Subscribers without
// unread events must have received all events, and the other subscribers must receive the remaining
// events when they read. The hub's statistics must match.
func (m *model) checkFinalState() {
	lastSeq := m.hub.Position().Seq
	for i, c := range m.conns {
		c.mu.Lock()
		if waits := !c.writing && len(c.wakeup) == 0; waits && (c.sub.Behind() || len(m.truth.remaining(c.set, c.position, lastSeq)) > 0) {
			m.fail("subscriber %d waits at %d for events up to %d, which are available", i, c.position, lastSeq)
		}
		c.drain()
		if !c.paused && c.position != lastSeq || c.sub.Behind() {
			m.fail("subscriber %d has read everything and is at %d, the newest event is %d", i, c.position, lastSeq)
		}
		c.sub.Close()
		c.mu.Unlock()
	}
	l := m.hub.memlog
	var bytes, attached int64
	for i := range l.events.len() {
		e := l.events.at(i)
		bytes += e.size()
		if e.Attached() != nil {
			attached++
		}
	}
	require.Equal(m.t, bytes, l.bytes)
	require.Equal(m.t, attached, m.attached.Load())
	s := m.hub.Stats()
	require.Equal(m.t, len(m.truth.log), int(s.Published))
	erased := int(lastSeq) - int(s.RemovedByCount+s.RemovedByBytes+s.RemovedByAge) - s.RetainedEvents
	require.GreaterOrEqual(m.t, erased, m.truth.erased)
	require.LessOrEqual(m.t, erased, m.truth.erased+m.truth.maybeRemoved)
	require.Equal(m.t, m.erased.Load(), s.Erased)
	require.Zero(m.t, s.Subscriptions)
	require.Zero(m.t, s.Groups)
	require.Zero(m.t, s.FilterBytes)
	require.True(m.t, m.hub.index.empty())
}
