package board

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
)

// allLive is the status of three columns that are live.
var allLive = [Columns]ConnectionStatus{{Mode: Live}, {Mode: Live}, {Mode: Live}}

func TestVerdictIsGoodOnlyIfNothingIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		change      func(*Report, *[Columns]ConnectionStatus)
		unreachable bool
		level       Level
		headline    string
	}{
		"identical":          {func(*Report, *[Columns]ConnectionStatus) {}, false, Good, "Identical so far: 1,200 events"},
		"a few events apart": {func(r *Report, _ *[Columns]ConnectionStatus) { r.Columns[1].Behind = 3 }, false, Good, "Identical so far: 1,200 events"},
		"no events":          {func(r *Report, _ *[Columns]ConnectionStatus) { r.Compared = 0 }, false, Idle, "Waiting for the first event"},
		"before the start": {func(r *Report, s *[Columns]ConnectionStatus) {
			r.Compared, *s = 0, [Columns]ConnectionStatus{{Mode: Off}, {Mode: Off}, {Mode: Off}}
		}, false, Idle, "Not connected"},
		"lagging": {func(r *Report, _ *[Columns]ConnectionStatus) { r.Columns[1].Behind, r.Lagging[1] = 3313, true },
			false, Warn, "Identical so far: 1,200 events; column 2 is 3,313 behind"},
		"stalled": {func(r *Report, s *[Columns]ConnectionStatus) { s[0].Mode, r.Columns[0].Behind = Stalled, 7 },
			false, Warn, "Identical so far: 1,200 events; column 1 is stalled, 7 behind"},
		"reconnecting": {func(_ *Report, s *[Columns]ConnectionStatus) { s[2] = ConnectionStatus{Mode: Waiting, Failed: true} },
			false, Warn, "Identical so far: 1,200 events; column 3 is reconnecting"},
		"all columns reconnecting": {func(_ *Report, s *[Columns]ConnectionStatus) {
			*s = [Columns]ConnectionStatus{{Mode: Waiting}, {Mode: Waiting}, {Mode: Connecting}}
		}, false, Warn, "Identical so far: 1,200 events; column 1 is reconnecting, column 2 is reconnecting, column 3 is connecting"},
		"hub dead": {func(_ *Report, s *[Columns]ConnectionStatus) {
			*s = [Columns]ConnectionStatus{{Mode: Waiting, Failed: true}, {Mode: Off}, {Mode: Connecting, Failed: true}}
		}, false, Bad, "The hub does not answer. Identical so far: 1,200 events"},
		"hub not reached": {func(*Report, *[Columns]ConnectionStatus) {}, true, Bad, "The hub does not answer. Identical so far: 1,200 events"},
		"ended":           {func(_ *Report, s *[Columns]ConnectionStatus) { s[0].Mode = Ended }, false, Bad, "The hub ended column 1. Identical so far: 1,200 events"},
		"disconnected":    {func(_ *Report, s *[Columns]ConnectionStatus) { s[0].Mode = Off }, false, Warn, "Identical so far: 1,200 events; column 1 is disconnected"},
		"gap": {func(r *Report, _ *[Columns]ConnectionStatus) { r.Columns[1].Gaps, r.Columns[1].InGaps = 1, 2 },
			false, Warn, "Identical so far: 1,200 events; column 2 is missing the events of its gaps"},
		"different": {func(r *Report, _ *[Columns]ConnectionStatus) { r.Columns[0].Lost, r.Columns[2].Doubled = 1, 2 },
			false, Bad, "Not the same events in the same order: see column 1 and column 3."},
	} {
		t.Run(name, func(t *testing.T) {
			report, status := Report{Compared: 1200}, allLive
			c.change(&report, &status)
			v := report.Verdict(status, c.unreachable)
			require.Equal(t, c.level, v.Level)
			require.Equal(t, c.headline, v.Headline)
		})
	}
}

func TestVerdictCountsAndDetails(t *testing.T) {
	r := Report{Compared: 1200}
	require.Equal(t, "lost\u00a00 · doubled\u00a00 · out\u00a0of\u00a0order\u00a00", r.Verdict(allLive, false).Counts)
	require.Empty(t, r.Verdict(allLive, false).Detail)
	r.Columns[0].Lost, r.Columns[1], r.Columns[2].Doubled = 1, Tally{Behind: 3, Gaps: 1, InGaps: 2}, 2
	v := r.Verdict(allLive, false)
	require.Equal(t, "column 1 lost 1 · column 2 received 1 gap with 2 events · column 3 doubled 2", v.Detail)
	require.Equal(t, "1,200 compared · lost\u00a01 · doubled\u00a02 · out\u00a0of\u00a0order\u00a00", v.Counts)
}

func TestColumnLooksLiveOnlyIfItKeepsUp(t *testing.T) {
	live := ConnectionStatus{Mode: Live, Text: "Live over WebSocket"}
	require.Equal(t, live, live.Compared(Tally{Behind: 5}, false))
	require.Equal(t, ConnectionStatus{Mode: Behind, Text: "Live over WebSocket, 3,313 behind"}, live.Compared(Tally{Behind: 3313}, true))
	require.Equal(t, Faulty, live.Compared(Tally{Lost: 1}, true).Mode)
	off := ConnectionStatus{Mode: Off, Text: "Disconnected"}
	require.Equal(t, off, off.Compared(Tally{Behind: 5, Lost: 1}, true))
}

// TestLagIsMeasuredInTime checks that a column that keeps advancing never lags, regardless of the
// number of events that it is behind, and that a column that stays at its position lags.
func TestLagIsMeasuredInTime(t *testing.T) {
	var b Board
	b.Start(hub.Cursor{Epoch: 1})
	now, seq := noon, uint64(0)
	for range 50 { // each column receives the events of a step one step later than the column before it
		seq += 1000
		for c := range Columns {
			if at := int(seq) - c*1000; at > 0 {
				b.Position(c, hub.Cursor{Epoch: 1, Seq: uint64(at)}.String())
			}
		}
		b.Arrive(0, own(&b, seq+1, seq+1), now, 1000)
		now = now.Add(100 * time.Millisecond)
		require.Equal(t, [Columns]bool{}, b.Report(now).Lagging)
	}
	b.Report(now)
	require.Equal(t, [Columns]bool{false, true, true}, b.Report(now.Add(lagLimit)).Lagging)
	b.Position(1, hub.Cursor{Epoch: 1, Seq: seq + 1}.String())
	require.Equal(t, [Columns]bool{false, false, true}, b.Report(now.Add(lagLimit)).Lagging)
}

func TestCatchUpEndsAtTheNewestEventOfItsStart(t *testing.T) {
	var b Board
	b.Start(hub.Cursor{Epoch: 1})
	for n := range uint64(5) {
		b.Arrive(0, own(&b, n+1, n+1), noon, 1000)
	}
	require.Equal(t, uint64(5), b.Watch(1, noon))
	for n := range uint64(5) {
		_, done := b.CaughtUp(1)
		require.False(t, done)
		b.Arrive(0, own(&b, n+6, n+6), noon, 1000) // later events have no effect
		b.Arrive(1, own(&b, n+1, n+1), noon.Add(time.Duration(n+1)*time.Second), 1000)
	}
	took, done := b.CaughtUp(1)
	require.True(t, done)
	require.Equal(t, 5*time.Second, took)
	require.Zero(t, b.Watch(0, noon))
	_, done = b.CaughtUp(0)
	require.True(t, done, "a column that is not behind has caught up immediately")
}

func TestLoadTextStatesWhatWasMeasured(t *testing.T) {
	require.Equal(t, "This page publishes orders and prices. It pauses while its tab is hidden.", LoadStatus{}.Text())
	s := LoadStatus{LoadWant: LoadWant{On: true}, Accepted: 1234, Actual: 640.2}
	require.Equal(t, "1,234 accepted, 640 per second", s.Text())
	s.Published, s.Repeats, s.Skipped, s.Answer = "0000002a-7", 1, 312, 1300*time.Millisecond
	require.Equal(t, "1,234 accepted, 640 per second · published 0000002a-7 · 1 publish request sent again · "+
		"312 not sent in time by this page (last answer after 1.3 s)", s.Text())
}
