package board

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivium-hub/trivium/hub"
)

// delivery is the log of a hub, and how much of it each column has received.
type delivery struct {
	log   []hub.Cursor
	at    [Columns]int // number of events of log that each column has received
	begun hub.Cursor
}

func drawDelivery(t *rapid.T) *delivery {
	r := &delivery{begun: hub.Cursor{Epoch: 7, Seq: rapid.Uint64Range(0, 99).Draw(t, "start")}}
	seq := r.begun.Seq
	for range rapid.IntRange(1, 60).Draw(t, "events") {
		seq += rapid.Uint64Range(1, 3).Draw(t, "step") // events of other topics are between them
		r.log = append(r.log, hub.Cursor{Epoch: 7, Seq: seq})
	}
	return r
}

// deliver delivers the next events of the log to a column.
func (r *delivery) deliver(p *Proof, c, n int) {
	for ; n > 0 && r.at[c] < len(r.log); n-- {
		p.Event(c, r.log[r.at[c]])
		r.at[c]++
	}
}

// mix delivers events to the columns in random order, so that each column is sometimes behind and
// sometimes ahead.
func (r *delivery) mix(t *rapid.T, p *Proof) {
	for range rapid.IntRange(0, 30).Draw(t, "turns") {
		r.deliver(p, rapid.IntRange(0, Columns-1).Draw(t, "column"), rapid.IntRange(1, 9).Draw(t, "n"))
	}
}

func (r *delivery) finish(p *Proof) {
	for c := range Columns {
		r.deliver(p, c, len(r.log))
	}
}

// TestNoFaultWithoutLoss checks that a column that receives the log in order is never faulty,
// regardless of when the other columns receive events and which gaps are reported.
func TestNoFaultWithoutLoss(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawDelivery(t)
		var p Proof
		p.Start(r.begun)
		gaps := 0
		for range rapid.IntRange(0, 30).Draw(t, "turns") {
			c := rapid.IntRange(0, Columns-1).Draw(t, "column")
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0: // retention removes events that the column has not received
				skip := rapid.IntRange(0, len(r.log)-r.at[c]).Draw(t, "skip")
				if r.at[c] += skip; r.at[c] > 0 {
					p.Gap(c, r.log[r.at[c]-1])
					gaps++
				}
			case 1: // the position in a heartbeat
				if r.at[c] > 0 {
					p.Position(c, r.log[r.at[c]-1])
				}
			default:
				r.deliver(&p, c, rapid.IntRange(1, 9).Draw(t, "n"))
			}
			require.False(t, p.Report().Faulty(), "%+v", p.Report())
		}
		behind := p.Report()
		for c := range Columns {
			ahead := slices.Max(r.at[:])
			require.LessOrEqual(t, behind.Columns[c].Behind, uint64(ahead-r.at[c]))
		}
		r.finish(&p)
		end := p.Report()
		require.False(t, end.Faulty(), "%+v", end)
		if gaps == 0 {
			require.Equal(t, uint64(len(r.log)), end.Compared)
			for _, tally := range end.Columns {
				require.Zero(t, tally.Behind)
				require.Equal(t, uint64(len(r.log)), tally.Got)
			}
		}
	})
}

// TestFaultIsFound checks that a single fault at any position in a column's events is found, and is
// counted as the right kind.
func TestFaultIsFound(t *testing.T) {
	for name, fault := range map[string]struct {
		least int // minimum number of events after the fault
		make  func(p *Proof, c int, r *delivery)
		count func(Tally) uint64
	}{
		"lost": {1, func(_ *Proof, c int, r *delivery) { r.at[c]++ },
			func(t Tally) uint64 { return t.Lost }},
		"doubled": {0, func(p *Proof, c int, r *delivery) { p.Event(c, r.log[r.at[c]]); p.Event(c, r.log[r.at[c]]); r.at[c]++ },
			func(t Tally) uint64 { return t.Doubled }},
		"out of order": {1, func(p *Proof, c int, r *delivery) {
			p.Event(c, r.log[r.at[c]+1])
			p.Event(c, r.log[r.at[c]])
			r.at[c] += 2
		}, func(t Tally) uint64 { return t.Disorder }},
		"another epoch without a gap": {0, func(p *Proof, c int, r *delivery) {
			p.Event(c, hub.Cursor{Epoch: 8, Seq: 1})
			for i := range r.log { // the hub restarts, and the other columns get a gap
				r.log[i].Epoch = 8
			}
			for other := range Columns {
				if other != c {
					p.Gap(other, hub.Cursor{Epoch: 8})
				}
				r.at[other] = len(r.log)
			}
		}, func(t Tally) uint64 { return t.Disorder }},
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				r := drawDelivery(t)
				var p Proof
				p.Start(r.begun)
				r.mix(t, &p)
				c := rapid.IntRange(0, Columns-1).Draw(t, "faulty")
				if r.at[c]+fault.least >= len(r.log) {
					t.Skip("the fault is too near to the end of the log")
				}
				require.False(t, p.Report().Faulty())
				fault.make(&p, c, r)
				r.mix(t, &p)
				r.finish(&p)
				end := p.Report()
				require.True(t, end.Faulty())
				for other, tally := range end.Columns {
					if other == c {
						require.Equal(t, uint64(1), fault.count(tally), "%+v", end)
					} else {
						require.False(t, tally.Faulty(), "%+v", end)
					}
				}
				require.Contains(t, end.Verdict(allLive, false).Headline, "Not the same")
			})
		})
	}
}

// TestLossOfTheLastEventIsFound checks that the loss of the newest event is counted as soon as the
// hub reports a later position.
func TestLossOfTheLastEventIsFound(t *testing.T) {
	var p Proof
	p.Start(hub.Cursor{Epoch: 1})
	p.Event(0, hub.Cursor{Epoch: 1, Seq: 4})
	p.Event(1, hub.Cursor{Epoch: 1, Seq: 4})
	require.Equal(t, uint64(1), p.Report().Columns[2].Behind)
	p.Position(2, hub.Cursor{Epoch: 1, Seq: 9})
	require.Equal(t, Tally{Lost: 1}, p.Report().Columns[2])
}

// TestRestartOfTheHubIsNoFault checks that no fault is found if the columns reach the hub's next
// epoch one after the other, each with a gap for the remaining events of the previous epoch.
func TestRestartOfTheHubIsNoFault(t *testing.T) {
	at := func(epoch hub.Epoch, seq uint64) hub.Cursor { return hub.Cursor{Epoch: epoch, Seq: seq} }
	var p Proof
	p.Start(at(1, 10))
	for seq := range uint64(5) {
		p.Event(0, at(1, 11+seq))
	}
	p.Event(1, at(1, 11))
	p.Gap(0, at(2, 0))
	p.Event(0, at(2, 1))
	p.Event(0, at(2, 2))
	require.Equal(t, uint64(6), p.Report().Columns[1].Behind, "the column is behind by 4 events of the old epoch and 2 of the new one")
	p.Gap(1, at(2, 0))
	p.Event(1, at(2, 1))
	p.Gap(2, at(2, 1)) // in the new epoch, retention has also removed an event
	p.Event(2, at(2, 2))
	p.Event(2, at(2, 3))
	r := p.Report()
	require.False(t, r.Faulty(), "%+v", r)
	require.Equal(t, Tally{Got: 2, Gaps: 1, InGaps: 4, Behind: 2}, r.Columns[1])
	require.Equal(t, Tally{Got: 2, Gaps: 1, InGaps: 6}, r.Columns[2])
	require.Equal(t, uint64(5+1), r.Compared)
}

// TestProofIsBounded checks that a disconnected column needs memory for at most maxLog entries, and
// is not faulty after it has resumed.
func TestProofIsBounded(t *testing.T) {
	var p Proof
	p.Start(hub.Cursor{Epoch: 1})
	const events = 3*maxLog + 5
	for seq := uint64(1); seq <= events; seq++ {
		p.Event(0, hub.Cursor{Epoch: 1, Seq: seq})
		p.Event(1, hub.Cursor{Epoch: 1, Seq: seq})
		if len(p.columns[0].epochLog.log) > maxLog {
			require.FailNow(t, "more than maxLog entries are kept")
		}
	}
	for seq := uint64(1); seq <= events; seq++ {
		p.Event(2, hub.Cursor{Epoch: 1, Seq: seq})
	}
	r := p.Report()
	require.False(t, r.Faulty(), "%+v", r)
	require.NotZero(t, r.Columns[2].Unchecked)
	require.Equal(t, uint64(events), r.Compared+r.Columns[2].Unchecked)
	require.LessOrEqual(t, len(p.columns[0].epochLog.log), 2*keepKnown)
}
