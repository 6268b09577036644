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
	loadTick    = 50 * time.Millisecond
	loadRetry   = time.Second      // delay before a retry, if the hub sends none
	loadTimeout = 10 * time.Second // timeout of one answer
	// keyLife is the time for which a batch is retried with its key. It is shorter than the two
	// minutes for which the hub remembers the key.
	keyLife = 100 * time.Second
)

// Load publishes sample events at a fixed rate, in batches and in the order of their numbers (see
// Series). A batch that the hub refuses temporarily is retried unchanged with the same key, so that
// no event is published twice.
type Load struct {
	Hub   *Hub
	Board *Board
	Clock func() float64 // the page's clock, in milliseconds

	kick chan struct{}

	mu     sync.Mutex
	want   LoadWant
	single int // number of events that PublishOne has requested and that are not sent yet
	status LoadStatus
	rate   Rate // rate of accepted events
}

// LoadWant is the requested setting of a Load.
type LoadWant struct {
	On     bool
	Hidden bool // the tab is hidden: the load pauses
	Rate   float64
	Topic  string
}

// LoadStatus is the setting of a Load and its result so far.
type LoadStatus struct {
	LoadWant
	Accepted  uint64        // number of accepted events
	Actual    float64       // accepted events per second
	Repeats   uint64        // number of times that a batch was sent again
	Skipped   uint64        // number of events that were not sent, because more than MaxBatch were due at the same time
	Answer    time.Duration // time until the answer to the last batch arrived in the page
	Published string        // ID of the last event of PublishOne; "" if there is none
	Trouble   string        // the reason why the last batch was refused; "": it was accepted
	Forbidden bool          // the hub refuses to publish for this token
}

// Text describes the result so far. If events were skipped, it names no cause, because either the
// hub or the page may have been too slow. Instead, it contains the time that the last answer took.
func (s LoadStatus) Text() string {
	text := "This page publishes orders and prices. It pauses while its tab is hidden."
	if s.On || s.Accepted > 0 {
		text = Count(s.Accepted) + " accepted, " + PerSecond(s.Actual) + " per second"
	}
	if s.Published != "" {
		text += " · published " + s.Published
	}
	if s.Repeats > 0 {
		text += " · " + Plural(s.Repeats, "publish request", "publish requests") + " sent again"
	}
	if s.Skipped > 0 {
		text += " · " + Count(s.Skipped) + " not sent in time by this page (last answer after " + Span(s.Answer) + ")"
	}
	return text
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

// PublishOne publishes one sample on the current topic, even if the load is off.
func (l *Load) PublishOne() {
	l.mu.Lock()
	l.single = min(l.single+1, MaxBatch)
	l.mu.Unlock()
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// takeSingle returns the number of events that PublishOne has requested since the last call.
func (l *Load) takeSingle() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, l.single = l.single, 0
	return n
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
		l.publishSingle(ctx)
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
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.kick:
		case <-ticker.C:
		}
		if l.wanted() != want {
			return
		}
		l.publishSingle(ctx)
		due, skipped := pacer.Due(time.Now())
		l.note(func(s *LoadStatus) { s.Skipped += uint64(skipped) })
		if due > 0 {
			l.batch(ctx, want, due)
		}
	}
}

// publishSingle publishes the events that PublishOne has requested.
func (l *Load) publishSingle(ctx context.Context) {
	for n := l.takeSingle(); n > 0; n = l.takeSingle() {
		if id := l.batch(ctx, l.wanted(), n); id != "" {
			l.note(func(s *LoadStatus) { s.Published = id })
		}
	}
}

// events returns the next n events of the series.
func (l *Load) events(topic string, n int) []*hub.Event {
	events := make([]*hub.Event, n)
	series, first := l.Board.TakeNumbers(uint64(n))
	sent := l.Clock()
	for i := range events {
		number := first + uint64(i)
		sample := NewSample(number)
		events[i] = &hub.Event{
			Topic: topic, Type: sample.Type, Key: sample.Key, Data: AppendSeries(nil, sample.Fields, series, number, sent),
		}
	}
	return events
}

// batch publishes n events, and retries until the hub's answer is final. It returns the last
// event's ID, or "" if the events were not accepted.
func (l *Load) batch(ctx context.Context, want LoadWant, n int) (id string) {
	events := l.events(want.Topic, n)
	key, begun := Unique(), time.Now()
	for {
		try, cancel := context.WithTimeout(ctx, loadTimeout)
		asked := time.Now()
		id, err := l.Hub.Publish(try, key, events...)
		cancel()
		now := time.Now()
		if err == nil {
			l.accepted(now, now.Sub(asked), uint64(n))
			return id
		}
		refused := refusal(err)
		l.note(func(s *LoadStatus) {
			s.Trouble, s.Forbidden = Reason(err), refused != nil && refused.Status == 403
		})
		if refused != nil {
			l.Set(func(w *LoadWant) { w.On = false })
			l.Board.BeginSeries()
			return ""
		}
		wait := loadRetry
		if problem, ok := errors.AsType[*client.Problem](err); ok && problem.RetryAfter > 0 {
			wait = problem.RetryAfter
		}
		if now.Add(wait).Sub(begun) > keyLife || !l.sleep(ctx, wait) {
			l.Board.BeginSeries() // it is unknown whether the batch was accepted
			return ""
		}
		l.note(func(s *LoadStatus) { s.Repeats++ })
	}
}

func (l *Load) accepted(now time.Time, took time.Duration, n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status.Accepted += n
	l.status.Answer, l.status.Trouble, l.status.Forbidden = took, "", false
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
