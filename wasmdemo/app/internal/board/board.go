package board

import (
	"math"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/client"
)

const (
	// MaxRows is the number of events that each column shows.
	MaxRows = 50
	// maxPreview is the maximum number of bytes of an event's data that are shown.
	maxPreview = 400

	zwnj, zwj = '\u200C', '\u200D' // zero-width non-joiner and zero-width joiner
)

// Board holds the events of all columns. Its methods are safe for concurrent use.
type Board struct {
	mu      sync.Mutex
	proof   Proof
	series  Series
	columns [Columns]column
}

// column holds the events of one column.
type column struct {
	rows    []Row  // a ring of MaxRows rows: row n is at index n modulo MaxRows
	count   uint64 // number of rows so far
	missing uint64 // number of events that this page has published and the column has missed
	rate    Rate
	latency Latency
	last    string // ID of the last event
	lag     lag
	catchUp catchUp
}

// Row is an event as displayed.
type Row struct {
	N     uint64 // number of the row in its column, from 1
	ID    string
	Topic string
	Type  string
	Key   string
	Time  time.Time // time when the hub accepted the event; zero for a gap
	Data  string    // beginning of the data, on one line
	Gap   string    // description of a gap; all other fields except ID are then empty
}

// Start discards all recorded events and results. Afterwards, all columns start at the cursor.
func (b *Board) Start(at hub.Cursor) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.proof.Start(at)
	b.series.Begin(newSeriesName())
	for c := range b.columns {
		b.columns[c] = column{rows: make([]Row, MaxRows)}
	}
}

// BeginSeries starts a new series of the page's own events. The page calls it if the page cannot
// know which of its last events the hub has accepted.
func (b *Board) BeginSeries() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.series.Begin(newSeriesName())
}

// TakeNumbers reserves the next n numbers of the page's own series.
func (b *Board) TakeNumbers(n uint64) (series string, first uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.series.name, b.series.TakeNumbers(n)
}

// Arrive records an event or gap of a column. now is the time of day; clock is the same moment on
// the page's monotonic clock, which the page also uses for the times in its own events.
func (b *Board) Arrive(c int, e client.Event, now time.Time, clock float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	col := &b.columns[c]
	defer func() { col.catchUp.update(&b.proof, c, now) }()
	row := Row{N: col.count + 1, ID: e.ID}
	col.count++
	col.last = e.ID
	slot := &col.rows[row.N%MaxRows]
	if e.Gap != nil {
		b.proof.Gap(c, e.Gap.ResumedAt)
		b.series.Gap(c)
		row.Gap = GapText(e.Gap)
		*slot = row
		return
	}
	if id, err := hub.ParseCursor(e.ID); err == nil {
		b.proof.Event(c, id)
	}
	took := now.Sub(e.Time)
	n, sent, own := ParseSeries(e.Data, b.series.name)
	if own {
		col.missing += b.series.Received(c, n)
		took = time.Duration(math.Min(clock-sent, 1e9) * float64(time.Millisecond))
	}
	col.rate.Add(now, 1)
	col.latency.Add(now, took, !own)
	row.Topic, row.Type, row.Key, row.Time = e.Topic, e.Type, e.Key, e.Time
	row.Data = Preview(e.Data, e.Encoding)
	*slot = row
}

// Position records that a column has received everything up to the cursor.
func (b *Board) Position(c int, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at, err := hub.ParseCursor(id); err == nil {
		b.proof.Position(c, at)
	}
}

// Report returns the result of comparing the columns. A column has also lost an event if the page
// has published the event and no column has received it. Report must be called several times per
// second, so that Report.Lagging is exact.
func (b *Board) Report(now time.Time) Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.proof.Report()
	for c := range b.columns {
		col := &b.columns[c]
		r.Columns[c].Lost = max(r.Columns[c].Lost, col.missing)
		r.Lagging[c] = col.lag.update(&b.proof, c, r.Columns[c].Behind, now)
	}
	return r
}

// Figures are a column's measurements.
type Figures struct {
	Rate     float64 // events per second
	Median   time.Duration
	P99      time.Duration
	Measured bool   // false: no latency in the last half minute
	Clock    string // the clock that measured the latency, as text: the page's or the hub's
	Last     string
	Rows     uint64 // number of rows so far
	Chart    [ChartSlots]Bar
}

// Figures returns a column's measurements.
func (b *Board) Figures(c int, now time.Time) Figures {
	b.mu.Lock()
	defer b.mu.Unlock()
	col := &b.columns[c]
	f := Figures{Rate: col.rate.PerSecond(now), Last: col.last, Rows: col.count, Chart: col.latency.Chart(now)}
	f.Median, f.Measured = col.latency.Quantile(now, 0.5)
	f.Clock = clockText(col.latency.Foreign(now))
	f.P99, _ = col.latency.Quantile(now, 0.99)
	return f
}

// RowsAfter returns the kept rows with numbers greater than n, oldest first.
func (b *Board) RowsAfter(c int, n uint64) []Row {
	b.mu.Lock()
	defer b.mu.Unlock()
	col := &b.columns[c]
	if col.count > MaxRows {
		n = max(n, col.count-MaxRows)
	}
	var rows []Row
	for ; n < col.count; n++ {
		rows = append(rows, col.rows[(n+1)%MaxRows])
	}
	return rows
}

// Preview returns the start of an event's data on one line, without invisible characters. The page
// shows it as text.
func Preview(data []byte, encoding client.Encoding) string {
	if encoding == client.Binary {
		return "binary, " + Count(uint64(len(data))) + " bytes"
	}
	cut := string(data[:min(len(data), maxPreview)])
	if len(cut) < len(data) {
		cut = strings.ToValidUTF8(cut, "") // the last rune may be incomplete
	}
	text := strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t' || unicode.In(r, unicode.Zl, unicode.Zp):
			return ' '
		case r == zwnj || r == zwj: // Persian and many emoji need the joiners
			return r
		case unicode.In(r, unicode.Cc, unicode.Cf): // for example characters that reverse the direction of the line
			return '\uFFFD'
		}
		return r
	}, cut)
	if len(data) > maxPreview {
		text += "…"
	}
	return text
}
