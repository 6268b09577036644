package board

import (
	"time"

	"github.com/trivium-hub/trivium/transports/client"
)

// cutFor is how long Break keeps a column cut.
const cutFor = 3 * time.Second

// Break cuts one column after another, each for cutFor, and measures what the column missed and how long it took
// to catch up. It is not safe for concurrent use.
type Break struct {
	board  *Board
	conns  *[Columns]*Connection
	length time.Duration // duration of a cut

	phase  breakPhase
	column int
	use    client.Transport
	cutAt  time.Time
	missed uint64
	before Tally // the column's tally at the cut
	text   string
}

type breakPhase int

const (
	breakIdle breakPhase = iota
	breakCut
	breakCatchUp
)

// NewBreak returns a Break that has cut nothing yet.
func NewBreak(b *Board, conns *[Columns]*Connection) *Break {
	return &Break{board: b, conns: conns, length: cutFor, column: Columns - 1}
}

// Start cuts the next column that is live. If a column is still cut, or none is live, it does
// nothing and returns false.
func (b *Break) Start(now time.Time) bool {
	if b.phase != breakIdle {
		return false
	}
	for range Columns {
		b.column = (b.column + 1) % Columns
		status := b.conns[b.column].Status(now)
		if status.Mode != Live {
			continue
		}
		b.phase, b.cutAt, b.use = breakCut, now, status.Use
		b.before = b.board.Report(now).Columns[b.column]
		b.conns[b.column].Break()
		return true
	}
	b.text = "No column is live, so there is nothing to cut."
	return false
}

// Stop discards the current cut and its result.
func (b *Break) Stop() {
	if b.phase == breakCut {
		b.conns[b.column].Mend()
	}
	b.phase, b.text = breakIdle, ""
}

// Running reports whether a column is cut or catching up.
func (b *Break) Running() bool { return b.phase != breakIdle }

// Step continues the current cut, and returns its state as text. The page calls it before each
// drawing.
func (b *Break) Step(now time.Time) string {
	conn := b.conns[b.column]
	name := "Column " + ColumnNumber(b.column) + " (" + TransportName(b.use) + ")"
	if b.phase != breakIdle && !conn.Status(now).On { // the user disconnected the column, or the hub ended it
		b.Stop()
	}
	switch b.phase {
	case breakCut:
		left := b.length - now.Sub(b.cutAt)
		if left > 0 {
			b.text = name + " is cut for " + Seconds(left) + "."
			break
		}
		b.missed = b.board.Watch(b.column, now)
		b.phase = breakCatchUp
		conn.Mend()
		fallthrough
	case breakCatchUp:
		b.text = name + " missed " + Count(b.missed) + ", and resumes."
		took, caught := b.board.CaughtUp(b.column)
		if caught && (b.missed > 0 || conn.Status(now).Mode == Live) {
			b.phase = breakIdle
			b.text = name + b.result(b.board.Report(now).Columns[b.column], took)
		}
	case breakIdle:
	}
	return b.text
}

// result describes what the column missed, after it has caught up.
func (b *Break) result(after Tally, took time.Duration) string {
	if b.missed == 0 {
		return " missed nothing: no event was published while it was cut."
	}
	text := " missed " + Count(b.missed) + ", caught up in " + Seconds(took)
	if gaps := after.Gaps - b.before.Gaps; gaps > 0 {
		return text + ", and received " + Plural(gaps, "gap", "gaps") + "."
	}
	lost, doubled := after.Lost-b.before.Lost, after.Doubled-b.before.Doubled
	return text + ": lost " + Count(lost) + ", doubled " + Count(doubled) + "."
}
