package board

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/client"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// own returns an event of the page's own series that was sent at 995 ms on the page's clock.
func own(b *Board, seq, n uint64) client.Event {
	return client.Event{
		ID: hub.Cursor{Epoch: 1, Seq: seq}.String(), Topic: "t", Time: noon,
		Data: AppendSeries(nil, `"x":1`, b.series.name, n, 995),
	}
}

// TestLossInAllColumnsIsFound checks that the board detects events that no column has received. The
// board detects them because the page numbers its own events. Events in a reported gap are not
// lost.
func TestLossInAllColumnsIsFound(t *testing.T) {
	for _, reported := range []bool{false, true} {
		var b Board
		b.Start(hub.Cursor{Epoch: 1})
		for c := range Columns {
			b.Arrive(c, own(&b, 1, 1), noon, 1000)
			if reported {
				at := hub.Cursor{Epoch: 1, Seq: 4}
				b.Arrive(c, client.Event{ID: at.String(), Gap: &client.Gap{Reason: "expired", ResumedAt: at}}, noon, 1000)
			}
			b.Arrive(c, own(&b, 5, 5), noon, 1000)
		}
		for _, tally := range b.Report(noon).Columns {
			require.Equal(t, reported, tally.Lost == 0)
			require.Equal(t, !reported, tally.Lost == 3)
		}
	}
}

func TestSeriesParsesOnlyItsOwnEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64().Draw(t, "n")
		sent := float64(rapid.Int64Range(0, 1e12).Draw(t, "sent")) / 10
		data := AppendSeries(nil, NewSample(n).Fields, "mine", n, sent)
		require.True(t, json.Valid(data), "%s", data)
		gotN, gotSent, ok := ParseSeries(data, "mine")
		require.True(t, ok)
		require.Equal(t, n, gotN)
		require.InDelta(t, sent, gotSent, 0.01)
		_, _, ok = ParseSeries(data, "other")
		require.False(t, ok)
		other := rapid.SliceOf(rapid.Byte()).Draw(t, "data")
		_, _, ok = ParseSeries(other, "mine")
		require.False(t, ok)
	})
	for _, hostile := range []string{
		`{"x":1,"n":1,"sent":NaN,"series":"mine"}`, `{"x":1,"n":1,"sent":1e999,"series":"mine"}`, `{"x":1,"n":-1,"sent":1,"series":"mine"}`,
		`{"x":1,"sent":1,"n":1,"series":"mine"}`, `,"sent":1,"series":"mine"}`,
	} {
		_, _, ok := ParseSeries([]byte(hostile), "mine")
		require.False(t, ok, hostile)
	}
}

// TestBoardKeepsTheNewestRows checks that RowsAfter returns each kept row once and in order, if it
// is called at irregular intervals.
func TestBoardKeepsTheNewestRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Board
		b.Start(hub.Cursor{Epoch: 1})
		var seen, total uint64
		for range rapid.IntRange(1, 8).Draw(t, "draws") {
			for range rapid.IntRange(0, 2*MaxRows).Draw(t, "events") {
				total++
				b.Arrive(1, client.Event{ID: hub.Cursor{Epoch: 1, Seq: total}.String()}, noon, 0)
			}
			next := max(seen, total-min(total, MaxRows))
			for _, row := range b.RowsAfter(1, seen) {
				next++
				require.Equal(t, hub.Cursor{Epoch: 1, Seq: next}.String(), row.ID)
				require.Equal(t, next, row.N)
			}
			require.Equal(t, total, next)
			seen = total
		}
	})
}

func TestFiguresFollowTheClock(t *testing.T) {
	var b Board
	b.Start(hub.Cursor{Epoch: 1})
	for n := range uint64(100) {
		b.Arrive(0, own(&b, n+1, n+1), noon.Add(time.Duration(n)*10*time.Millisecond), 1000)
	}
	at := noon.Add(time.Second)
	f := b.Figures(0, at)
	require.InDelta(t, 50, f.Rate, 5, "100 events in two seconds are 50 events per second")
	require.True(t, f.Measured)
	require.Equal(t, 5*time.Millisecond, f.Median, "the median is not above the longest latency")
	require.Equal(t, "00000001-100", f.Last)
	require.Equal(t, uint32(25), f.Chart[ChartSlots-2].Count)
	require.Equal(t, "by this page’s clock", f.Clock)
	b.Arrive(0, client.Event{ID: "00000001-101", Time: noon}, at, 0)
	require.Equal(t, "some by the hub’s clock, the others by this page’s", b.Figures(0, at).Clock)

	later := b.Figures(0, at.Add(time.Minute))
	require.Zero(t, later.Rate)
	require.False(t, later.Measured)
	require.Zero(t, later.Chart[0].Count+later.Chart[ChartSlots-1].Count)
}

// TestQuantileIsNear checks that a quantile differs from the exact value by at most one bin, which
// is a fifth of the value.
func TestQuantileIsNear(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l Latency
		durations := rapid.SliceOfN(rapid.Int64Range(int64(MinLatency), int64(90*time.Second)), 1, 200).Draw(t, "durations")
		for _, d := range durations {
			l.Add(noon, time.Duration(d), false)
		}
		q := rapid.Float64Range(0.01, 1).Draw(t, "q")
		got, ok := l.Quantile(noon, q)
		require.True(t, ok)
		var within int
		for _, d := range durations {
			if float64(d) <= float64(got)*1.001 {
				within++
			}
		}
		require.GreaterOrEqual(t, float64(within), q*float64(len(durations))-1e-9)
		within = 0
		for _, d := range durations {
			if float64(d) < float64(got)/1.22 {
				within++
			}
		}
		require.LessOrEqual(t, float64(within), q*float64(len(durations))+1)
	})
}

// TestPacerKeepsItsRate checks that the due and skipped events add up to the rate, regardless of
// the times of the calls.
func TestPacerKeepsItsRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p Pacer
		rate := float64(rapid.IntRange(1, MaxRate).Draw(t, "rate"))
		p.Set(rate, noon)
		now, sum := noon, 0
		for range rapid.IntRange(1, 50).Draw(t, "asks") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(3*time.Second)).Draw(t, "after")))
			due, skipped := p.Due(now)
			require.LessOrEqual(t, due, MaxBatch)
			sum += due + skipped
		}
		require.InDelta(t, rate*now.Sub(noon).Seconds(), sum, 1.01)
	})
}

func TestPreviewIsOneLineOfVisibleText(t *testing.T) {
	require.Equal(t, `<img src=x onerror=alert(1)>`, Preview([]byte(`<img src=x onerror=alert(1)>`), client.Text), "markup is kept, because the page shows it as text")
	require.Equal(t, "a b\uFFFDc", Preview([]byte("a\nb\u202Ec"), client.Text))
	require.Equal(t, "a b c", Preview([]byte("a\u2028b\u2029c"), client.Text))
	require.Equal(t, "👨\u200D👩 می\u200Cشود", Preview([]byte("👨\u200D👩 می\u200Cشود"), client.Text), "zero-width joiners are kept, because they change letters")
	require.Equal(t, "binary, 3 bytes", Preview([]byte{0, 1, 2}, client.Binary))
	long := Preview([]byte(strings.Repeat("x", maxPreview-1)+"ééé"), client.Text)
	require.Equal(t, strings.Repeat("x", maxPreview-1)+"…", long, "no rune is cut in two")
}

// TestScale checks that the scale fits the longest latency of any column.
func TestScale(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	for _, c := range []struct {
		longest time.Duration
		want    Scale
		height  float64
	}{
		{0, 2, 0},
		{50 * time.Microsecond, 2, 0},
		{10 * time.Millisecond, 2, 0.5},
		{100 * time.Millisecond, 2, 1},
		{time.Second, 3, 1},
		{1001 * time.Millisecond, 4, 0.75},
		{100 * time.Second, 5, 1},
		{time.Hour, 5, 1.311},
	} {
		var figures [Columns]Figures
		for i, took := range []time.Duration{time.Millisecond, c.longest} {
			var l Latency
			l.Add(at, took, false)
			figures[i].Chart = l.Chart(at)
		}
		require.Equal(t, c.want, ScaleOf(&figures), c.longest)
		require.InDelta(t, c.height, c.want.Height(c.longest), 0.001, c.longest)
	}
}
