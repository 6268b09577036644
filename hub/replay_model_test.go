package hub

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestReplayModel starts subscribers anywhere in a log that grows, removes its oldest events and
// erases single events. A subscriber must receive every matching event that was not erased, in
// order and once, and a gap exactly where matching events are lost.
func TestReplayModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		topics := []string{"a", "b", "c.d", "c.e", "a", "a"}
		sets := []string{"a", "b", "c.*", "c.e", ">", "none"}
		memlogEvents := rapid.IntRange(1, 40).Draw(r, "memlog events")
		l := &logEngine{}
		engine, matcher := Engine(l), &matchEngine{logEngine: l}
		if rapid.Bool().Draw(r, "filtered chunks") {
			engine = matcher
		}
		h, err := New(Config{Engine: engine, Retention: Retention{Events: memlogEvents}})
		require.NoError(r, err)
		defer func() { require.NoError(r, h.Close()) }()
		h.memlog.visits = rapid.SampledFrom([]int{1, 5, maxVisits}).Draw(r, "visits")
		h.steps = rapid.SampledFrom([]int{1, 2, maxSteps}).Draw(r, "steps")
		h.memlog.topics.searchLimit = rapid.SampledFrom([]int{0, maxTopicSearch}).Draw(r, "search limit")
		h.replay.losses.tree.searchLimit = h.memlog.topics.searchLimit
		h.replay.matchRule = rapid.SampledFrom([]matchRule{{}, {distance: 50}, {share: 4, chunks: 1, distance: 5}, {cost: 1}}).Draw(r, "rule")
		publish := func(r *rapid.T) {
			for range rapid.IntRange(1, 300).Draw(r, "n") {
				_, err := h.Publish(t.Context(), &Event{Topic: rapid.SampledFrom(topics).Draw(r, "topic"), Data: []byte("1")})
				require.NoError(r, err)
			}
		}
		publish(r)
		r.Repeat(map[string]func(*rapid.T){
			"publish": publish,
			"remove oldest": func(r *rapid.T) {
				l.withLock(func() { l.log.gone = rapid.Uint64Range(l.log.gone, uint64(len(l.log.events))).Draw(r, "gone") })
			},
			"fail": func(r *rapid.T) {
				l.withLock(func() { matcher.fails = rapid.SampledFrom([]error{nil, nil, ErrUnavailable}).Draw(r, "error") })
			},
			"erase": func(r *rapid.T) {
				for range rapid.IntRange(1, 20).Draw(r, "n") {
					seq := rapid.Uint64Range(1, h.Position().Seq).Draw(r, "seq")
					was := seq > l.log.gone && !l.log.erased[seq]
					if err := h.Erase(t.Context(), Cursor{1, seq}); was {
						require.NoError(r, err)
					} else {
						require.ErrorIs(r, err, ErrNoEvent)
					}
				}
			},
			"update index": func(r *rapid.T) { h.replay.updateLossIndex(t.Context(), h.lowWatermark(), h.Position().Seq) },
			"drop chunks":  func(*rapid.T) { h.replay.dropOldChunks(time.Now().Add(time.Hour)) },
			"cursor": func(r *rapid.T) {
				start := rapid.Uint64Range(0, h.Position().Seq).Draw(r, "after")
				set := setOf(rapid.SampledFrom(sets).Draw(r, "filter"))
				got, gaps := readAll(r, h, set, after(start))
				for _, e := range l.log.events[start:] {
					notified := slices.IndexFunc(gaps, func(g Gap) bool {
						from, _ := ParseCursor(g.After)
						return from.Seq < e.ID.Seq && e.ID.Seq <= g.ResumedAt.Seq
					})
					switch {
					case !l.log.has(e) || !set.Match(e.Topic):
					case len(got) > 0 && got[0] == e.ID.Seq:
						got = got[1:]
					default:
						require.GreaterOrEqual(r, notified, 0, "the loss of %d is reported by a gap", e.ID.Seq)
						gaps[notified].Certain = false // the gap is explained by this loss, so the check below ignores it
					}
				}
				require.Empty(r, got)
				for _, gap := range gaps {
					require.False(r, gap.Certain, "a gap without a loss is not certain: %v", gap)
				}
			},
			"last": func(r *rapid.T) {
				n := rapid.IntRange(1, 400).Draw(r, "n")
				set := setOf(rapid.SampledFrom(sets).Draw(r, "filter"))
				got, gaps := readAll(r, h, set, Start{Last: n})
				require.Empty(r, gaps)
				var all []uint64
				retained := 0
				for _, e := range l.log.events {
					if l.log.has(e) && set.Match(e.Topic) {
						all = append(all, e.ID.Seq)
						if e.ID.Seq > min(l.log.gone, h.lowWatermark()) {
							retained++
						}
					}
				}
				require.LessOrEqual(r, len(got), n)
				require.GreaterOrEqual(r, len(got), min(n, retained), "at least all retained events are delivered")
				require.Equal(r, all[len(all)-len(got):], append(all[:0:0], got...))
			},
		})
	})
}

// readAll reads from the start to the newest event. It requires that all gaps are certain.
func readAll(r *rapid.T, h *Hub, set FilterSet, start Start) (seqs []uint64, gaps []Gap) {
	wakeup := NewWakeup()
	s, err := h.Subscribe(Request{Filters: set, Start: start}, wakeup)
	require.NoError(r, err)
	defer s.Close()
	limit := ReadLimit{rapid.IntRange(1, 100).Draw(r, "limit"), 1 << 20}
	for lastSeq := h.Position().Seq; !s.Reached(lastSeq); {
		b := s.Read(limit)
		if b.Gap != nil {
			require.True(r, b.Gap.Certain)
			gaps = append(gaps, *b.Gap)
		}
		for _, e := range b.Events {
			seqs = append(seqs, e.ID.Seq)
		}
		if b.Waiting {
			select {
			case <-wakeup:
			case <-time.After(time.Minute):
				require.FailNow(r, "the subscription was not woken")
			}
		}
	}
	return seqs, gaps
}
