package hub

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// sliceLog is a Log that keeps its events in a slice, from which tests remove the oldest ones.
type sliceLog struct {
	events []*Event // events[i] has seq i+1; an erasure is an event without a topic
	gone   uint64
	erased map[uint64]bool // seqs of erased events and of the erasures themselves
}

// erase erases an event and returns the erasure, which is appended to the log.
func (l *sliceLog) erase(seq uint64) (*Event, error) {
	if seq <= l.gone || seq > uint64(len(l.events)) || l.erased[seq] {
		return nil, ErrNoEvent
	}
	if l.erased == nil {
		l.erased = make(map[uint64]bool)
	}
	erasure := &Event{ID: Cursor{1, uint64(len(l.events)) + 1}, Erases: seq}
	l.erased[seq], l.erased[erasure.ID.Seq] = true, true
	l.events = append(l.events, erasure)
	return erasure, nil
}

// has reports whether the event is not erased. It may return true for an event that retention has removed.
func (l *sliceLog) has(e *Event) bool { return !l.erased[e.ID.Seq] }

func (l *sliceLog) LastSeq(context.Context) (uint64, error) { return uint64(len(l.events)), nil }

func (l *sliceLog) SeqAt(_ context.Context, t time.Time) (uint64, error) {
	for _, e := range l.events[l.gone:] {
		switch {
		case e.Time.Before(t):
		case e.ID.Seq == l.gone+1:
			return 0, nil
		default:
			return e.ID.Seq - 1, nil
		}
	}
	return uint64(len(l.events)), nil
}

func (l *sliceLog) Count(_ context.Context, set FilterSet, _ int) (n int, _ error) {
	for _, e := range l.events[l.gone:] {
		if l.has(e) && set.Match(e.Topic) {
			n++
		}
	}
	return n, nil
}

func (l *sliceLog) ReadAfter(_ context.Context, seq uint64, limit ReadLimit) (found []*Event, err error) {
	if seq < l.gone {
		lost := l.gone
		for lost > seq && l.erased[lost] {
			lost--
		}
		if lost > seq {
			found = append(found, &Event{ID: Cursor{1, lost}})
		}
		if lost < l.gone {
			found = append(found, erasedElement(Cursor{1, l.gone}))
		}
		seq = l.gone
	}
	for seq < uint64(len(l.events)) && len(found) < limit.Events {
		e := l.events[seq]
		seq++
		switch {
		case l.has(e):
			found = append(found, &Event{ID: e.ID, Topic: e.Topic, Key: e.Key, Time: e.Time, Data: e.Data})
		case e.Erases != 0:
			found = append(found, &Event{ID: e.ID, Erases: e.Erases})
		default:
			found = append(found, erasedElement(e.ID))
		}
	}
	if len(found) == 0 {
		return nil, ErrUnavailable
	}
	return found, nil
}

// The durable log may be longer than the in-memory log. Only losses that have happened may be reported as
// certain. Every loss that has happened must be reported, at least as possible. The reports must be exact,
// unless the log removed events that the loss index had not read yet.
func TestLossIndexModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := &sliceLog{}
		rr := newReplayReader(log, 100)
		rr.losses.tree.searchLimit = rapid.SampledFrom([]int{0, 3, maxTopicSearch}).Draw(t, "search limit")
		topics := []string{"a", "b", "c.d", "c.e"}
		memlogEvents := rapid.Uint64Range(0, 20).Draw(t, "memlog events")
		lowWatermark := uint64(0)
		forgotten := uint64(0) // some removed events up to this seq are unknown to the loss index
		add := func(t *rapid.T) {
			for range rapid.IntRange(1, 30).Draw(t, "n") {
				seq := uint64(len(log.events)) + 1
				log.events = append(log.events, &Event{
					ID: Cursor{1, seq}, Topic: rapid.SampledFrom(topics).Draw(t, "topic"), Time: time.Unix(int64(seq), 0),
				})
				for ; lowWatermark+memlogEvents < seq; lowWatermark++ {
					rr.recordRemoved(lowWatermark, log.events[lowWatermark])
				}
			}
		}
		check := func(t *rapid.T) {
			if log.gone == 0 {
				return
			}
			from := rapid.Uint64Range(0, log.gone-1).Draw(t, "from")
			set := setOf(rapid.SampledFrom([]string{"a", "c.*", "c.e", ">", "none"}).Draw(t, "filter"))
			lost := false
			for _, e := range log.events[from:log.gone] {
				lost = lost || set.Match(e.Topic)
			}
			if rr.losses.known < log.gone {
				forgotten = log.gone
			}
			search := &rangeSearch{from: from, to: log.gone, searchedTo: from, losses: newLossSearchAfter(set, from, false)}
			_, v, done := rr.searchDeletedRange(search, 2)
			for !done {
				_, v, done = rr.searchDeletedRange(search, 2)
			}
			certain, possible := v.kind == certainLoss, v.kind != noLoss
			require.True(t, lost || !certain)
			require.True(t, possible || !lost)
			if from >= forgotten {
				require.Equal(t, lost, certain)
				require.Equal(t, lost, possible)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": add,
			"update index": func(t *rapid.T) {
				if rr.losses.known < log.gone {
					forgotten = log.gone
				}
				for rr.updateLossIndex(t.Context(), lowWatermark, uint64(len(log.events))) {
				}
				if len(log.events) > 0 {
					require.GreaterOrEqual(t, rr.losses.known, lowWatermark)
				}
			},
			"remove oldest": func(t *rapid.T) {
				if lowWatermark > log.gone {
					log.gone = rapid.Uint64Range(log.gone, lowWatermark).Draw(t, "gone")
				}
			},
			"check": check,
		})
	})
}
