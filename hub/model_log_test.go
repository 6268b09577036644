package hub

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Topics and filter sets of the model test. modelSelects contains the topics that each set selects, as
// determined by naiveSelects.
var (
	modelTopics = func() []string {
		topics := []string{"a", "b", "a.b", "a.c", "b.c.d", "x.y.z"}
		for i := range 30 {
			topics = append(topics, "t."+strconv.Itoa(i))
		}
		return topics
	}()
	modelSets = [][]string{
		{}, {"a"}, {"t.3"}, {"none"}, {"a", "a.b"}, {"b", "t.1", "t.2", "x.y.z"}, modelTopics[10:30],
		{">"}, {"a.>"}, {"*.b"}, {"t.*"}, {"*"}, {"b.*.d", "x.>"}, {"a", "t.>"}, {"*.*.z", "t.7", "none.>"},
	}
	modelSelects = func() [][]bool {
		selects := make([][]bool, len(modelSets))
		for i, set := range modelSets {
			for _, topic := range modelTopics {
				selected := slices.ContainsFunc(set, func(f string) bool { return naiveSelects(f, topic) })
				selects[i] = append(selects[i], selected)
			}
		}
		return selects
	}()
)

// truth is an engine that records the log that it delivers. Every subscriber must receive exactly
// this log.
type truth struct {
	Engine
	hub      *Hub // set before the first erasure
	mu       sync.RWMutex
	log      []entry    // log[i] is the event of seq i+1
	matching [][]uint64 // by filter set: the seqs of the matching events

	patience time.Duration // the time for which a worker may keep a batch with an erased event; static

	erased, maybeRemoved int // number of erasures; number of erasures whose event retention may have removed first
}

type entry struct {
	topic int
	key   string
	at    time.Time

	erasing  bool      // the erasure has begun, and may have been delivered
	erasedAt time.Time // zero: the erasure may not have been delivered yet, or was delivered after retention had removed the event
}

func newTruth() *truth {
	return &truth{Engine: NewMemory(), matching: make([][]uint64, len(modelSets))}
}

func (l *truth) Start(deliver func([]*Event)) (Cursor, error) {
	return l.Engine.Start(func(events []*Event) {
		if events[0].Erases != 0 {
			l.erase(events, deliver)
			return
		}
		l.mu.Lock()
		for _, e := range events {
			topic := slices.Index(modelTopics, e.Topic)
			l.log = append(l.log, entry{topic: topic, key: e.Key, at: e.Time})
			for set, selects := range modelSelects {
				if selects[topic] {
					l.matching[set] = append(l.matching[set], e.ID.Seq)
				}
			}
		}
		l.mu.Unlock()
		deliver(events)
	})
}

// erase delivers an erasure. The event counts as erased only if it is in the range of the in-memory
// log afterwards: otherwise, retention may have removed it before the erasure.
func (l *truth) erase(erasure []*Event, deliver func([]*Event)) {
	seq := erasure[0].Erases
	l.mu.Lock()
	l.log[seq-1].erasing = true
	l.mu.Unlock()
	deliver(erasure)
	l.hub.mu.RLock()
	kept := l.hub.memlog.lowWatermark < seq
	l.hub.mu.RUnlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if kept {
		l.log[seq-1].erasedAt = time.Now()
		l.erased++
	} else {
		l.maybeRemoved++
	}
}

// Erase implements Eraser.
func (l *truth) Erase(ctx context.Context, seq uint64) (uint64, error) {
	return l.Engine.(Eraser).Erase(ctx, seq)
}

// mayLack reports whether an erasure of the event has begun. If it has, a reader need not receive the
// event.
func (l *truth) mayLack(seq uint64) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.log[seq-1].erasing
}

// mustLack reports whether the event was erased so long ago that no reader may receive it any more.
func (l *truth) mustLack(seq uint64) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	at := l.log[seq-1].erasedAt
	return !at.IsZero() && at.Add(l.patience).Before(time.Now())
}

// remaining returns the seqs in (from, to] that the set selects and whose erasure has not begun.
func (l *truth) remaining(set int, from, to uint64) []uint64 {
	return slices.DeleteFunc(slices.Clone(l.between(set, from, to)), l.mayLack)
}

// between returns the seqs in (from, to] that the set selects.
func (l *truth) between(set int, from, to uint64) []uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	seqs := l.matching[set]
	i, _ := slices.BinarySearch(seqs, from+1)
	j, _ := slices.BinarySearch(seqs, to+1)
	return seqs[i:max(i, j)]
}

// firstSince returns the first seq up to lastSeq whose time is t or later.
func (l *truth) firstSince(t time.Time, lastSeq uint64) (seq uint64, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	i, _ := slices.BinarySearchFunc(l.log[:lastSeq], t, func(e entry, t time.Time) int {
		if e.at.Before(t) {
			return -1
		}
		return 1
	})
	return uint64(i) + 1, uint64(i) < lastSeq
}

// superseded reports whether a newer event has the same topic and key.
func (l *truth) superseded(seq uint64) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	e := l.log[seq-1]
	return e.key != "" && slices.ContainsFunc(l.log[seq:], func(o entry) bool { return o.topic == e.topic && o.key == e.key })
}

// remembers describes the recorded losses of a hub that records the losses of n topics and has removed all
// events up to lowWatermark. It ignores events whose seq is not greater than the parameter from. certain is
// set if the hub has recorded a loss for a topic that the set selects. overflowed is set if more than n
// topics have lost events.
func (l *truth) remembers(n, set int, from, lowWatermark uint64) (certain, overflowed bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	seen := make(map[int]bool)
	for seq := lowWatermark; seq > from; seq-- {
		e := l.log[seq-1]
		if seen[e.topic] || !e.erasedAt.IsZero() {
			continue
		}
		if len(seen) == n {
			return certain, true
		}
		seen[e.topic] = true
		certain = certain || modelSelects[set][e.topic] && !e.erasing
	}
	return certain, false
}

// publish publishes random batches until stop is closed.
func (m *model) publish(rng *rand.Rand, stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(rng.IntN(3000)) * time.Microsecond):
		}
		n := 1 + rng.IntN(8)
		switch rng.IntN(300) {
		case 0:
			n = 2 * maxPendingEvents
		case 1, 2, 3:
			n = 100
		}
		m.publishBatch(rng, n)
	}
}

// erase erases events until stop is closed.
func (m *model) erase(rng *rand.Rand, stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(rng.IntN(4000)) * time.Microsecond):
		}
		n := 1 + rng.IntN(3)
		if rng.IntN(100) == 0 {
			n = 200
		}
		for range n {
			lowWatermark, lastSeq := m.lowWatermark(), m.hub.Position()
			if lastSeq.Seq == lowWatermark {
				break
			}
			id := Cursor{lastSeq.Epoch, lowWatermark + 1 + rng.Uint64N(lastSeq.Seq-lowWatermark)}
			if err := m.hub.Erase(m.t.Context(), id); err == nil {
				m.erased.Add(1)
			} else if !errors.Is(err, ErrNoEvent) {
				m.fail("erase %v: %v", id, err)
			}
		}
	}
}

func (m *model) publishBatch(rng *rand.Rand, n int) {
	events := make([]*Event, n)
	favourite := rng.IntN(len(modelTopics))
	for i := range events {
		topic := favourite
		if rng.IntN(2) == 0 {
			topic = rng.IntN(len(modelTopics))
		}
		events[i] = &Event{Topic: modelTopics[topic], Key: []string{"", "k", "l"}[rng.IntN(3)], Data: make([]byte, rng.IntN(200))}
	}
	if _, err := m.hub.Publish(m.t.Context(), events...); err != nil {
		m.fail("publish: %v", err)
	}
}
