package board

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/client"
)

const (
	loadTick  = 50 * time.Millisecond
	loadRetry = time.Second      // where the hub does not say when
	loadTimes = 10 * time.Second // for one answer
	// keyLife is how long a batch is tried again under its key: less than the two minutes for
	// which the hub remembers it.
	keyLife = 100 * time.Second
)

// Load publishes at a fixed rate, in batches and in the order of the page's series. A batch that the hub refuses
// temporarily is repeated unchanged under the same key, so that no event is published twice.
type Load struct {
	Hub   *Hub
	Board *Board
	Clock func() float64 // the page's, in milliseconds

	kick chan struct{}

	mu     sync.Mutex
	want   LoadWant
	status LoadStatus
	rate   Rate // of what was accepted
}

// LoadWant is the requested setting.
type LoadWant struct {
	On     bool
	Hidden bool // the tab: the load pauses
	Rate   float64
	Topic  string
}

// LoadStatus is the result so far.
type LoadStatus struct {
	LoadWant
	Accepted uint64  // events
	Actual   float64 // events accepted a second
	Repeats  uint64  // batches sent again, each time
	Dropped  uint64  // events that were due and given up, since the hub is slower than the rate
	Trouble  string  // why the last batch was refused, "" once one is accepted again
}

// NewLoad returns a load that is switched off.
func NewLoad(h *Hub, b *Board, clock func() float64) *Load {
	return &Load{Hub: h, Board: b, Clock: clock, kick: make(chan struct{}, 1)}
}

// Set changes the requested setting.
func (l *Load) Set(change func(*LoadWant)) {
	l.mu.Lock()
	before := l.want
	change(&l.want)
	if l.want.On && !before.On {
		l.status = LoadStatus{}
	}
	l.mu.Unlock()
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// Status returns the result so far.
func (l *Load) Status(now time.Time) LoadStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.status
	s.LoadWant = l.want
	s.Actual = l.rate.PerSecond(now)
	return s
}

func (l *Load) wanted() LoadWant {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.want
}

// Run publishes until ctx is done.
func (l *Load) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if want := l.wanted(); want.On && !want.Hidden {
			l.run(ctx)
			continue
		}
		select {
		case <-ctx.Done():
		case <-l.kick:
		}
	}
}

// run publishes with one setting until it changes.
func (l *Load) run(ctx context.Context) {
	want := l.wanted()
	ticker := time.NewTicker(loadTick)
	defer ticker.Stop()
	var pacer Pacer
	pacer.Set(want.Rate, time.Now())
	for l.wanted() == want {
		select {
		case <-ctx.Done():
			return
		case <-l.kick:
			continue
		case <-ticker.C:
		}
		due, dropped := pacer.Due(time.Now())
		l.note(func(s *LoadStatus) { s.Dropped += uint64(dropped) })
		if due > 0 {
			l.batch(ctx, want, due)
		}
	}
}

// batch publishes n events, and retries until the hub gives a final answer.
func (l *Load) batch(ctx context.Context, want LoadWant, n int) {
	events := make([]*hub.Event, n)
	series, first := l.Board.TakeNumbers(uint64(n))
	sent := l.Clock()
	for i := range events {
		events[i] = &hub.Event{Topic: want.Topic, Data: AppendSeries(nil, series, first+uint64(i), sent)}
	}
	key, begun := Unique(), time.Now()
	for {
		try, cancel := context.WithTimeout(ctx, loadTimes)
		_, err := l.Hub.Publish(try, key, events...)
		cancel()
		now := time.Now()
		if err == nil {
			l.accepted(now, uint64(n))
			return
		}
		l.note(func(s *LoadStatus) { s.Trouble = Reason(err) })
		if refusal(err) != nil {
			l.Set(func(w *LoadWant) { w.On = false })
			l.Board.BeginSeries()
			return
		}
		wait := loadRetry
		if problem, ok := errors.AsType[*client.Problem](err); ok && problem.RetryAfter > 0 {
			wait = problem.RetryAfter
		}
		if now.Add(wait).Sub(begun) > keyLife || !l.sleep(ctx, wait) {
			l.Board.BeginSeries() // it is unknown whether the batch was accepted
			return
		}
		l.note(func(s *LoadStatus) { s.Repeats++ })
	}
}

func (l *Load) accepted(now time.Time, n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status.Accepted += n
	l.status.Trouble = ""
	l.rate.Add(now, n)
}

func (l *Load) note(change func(*LoadStatus)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.status)
}

// sleep waits, and reports whether the load is still on.
func (l *Load) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return l.wanted().On
		case <-l.kick:
			if !l.wanted().On {
				return false
			}
		}
	}
}
