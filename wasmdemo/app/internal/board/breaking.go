package board

import (
	"time"

	"github.com/trivium-hub/trivium/transports/client"
)

// cutFor is the duration of an interruption by Break.
const cutFor = 3 * time.Second

// Break interrupts the connection of a column for cutFor, and measures how many events the column
// missed and how long it took to catch up. Each interruption affects the next column in turn. It is
// not safe for concurrent use.
type Break struct {
	board  *Board
	conns  *[Columns]*Connection
	length time.Duration // duration of an interruption

	phase  breakPhase
	column int
	use    client.Transport
	cutAt  time.Time
	missed uint64
	before Tally // the column's tally at the interruption
	text   string
}

type breakPhase int

const (
	breakIdle breakPhase = iota
	breakCut
	breakCatchUp
)

// NewBreak returns a Break that has not interrupted a connection yet.
func NewBreak(b *Board, conns *[Columns]*Connection) *Break {
	return &Break{board: b, conns: conns, length: cutFor, column: Columns - 1}
}

// Start interrupts the connection of the next live column. If a connection is still interrupted, or
// no column is live, it does nothing and returns false.
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
	b.text = "No column is live, so there is no connection to interrupt."
	return false
}

// Stop discards the current interruption and its result.
func (b *Break) Stop() {
	if b.phase == breakCut {
		b.conns[b.column].Mend()
	}
	b.phase, b.text = breakIdle, ""
}

// Running reports whether a column is interrupted or catching up.
func (b *Break) Running() bool { return b.phase != breakIdle }

// Step continues the current interruption, and returns its state as text. The page calls it before
// each drawing.
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
			b.text = name + " is interrupted for " + Seconds(left) + "."
			break
		}
		b.missed = b.board.Watch(b.column, now)
		b.phase = breakCatchUp
		conn.Mend()
		fallthrough
	case breakCatchUp:
		b.text = name + " missed " + Plural(b.missed, "event", "events") + " and resumes."
		took, caught := b.board.CaughtUp(b.column)
		if caught && (b.missed > 0 || conn.Status(now).Mode == Live) {
			b.phase = breakIdle
			b.text = name + b.result(b.board.Report(now).Columns[b.column], took)
		}
	case breakIdle:
	}
	return b.text
}

// result describes how many events the column missed, after it has caught up.
func (b *Break) result(after Tally, took time.Duration) string {
	if b.missed == 0 {
		return " missed nothing: no event was published while it was interrupted."
	}
	text := " missed " + Plural(b.missed, "event", "events") + ", caught up in " + Seconds(took)
	if gaps := after.Gaps - b.before.Gaps; gaps > 0 {
		return text + ", and received " + Plural(gaps, "gap", "gaps") + "."
	}
	lost, doubled := after.Lost-b.before.Lost, after.Doubled-b.before.Doubled
	return text + ": lost " + Count(lost) + ", doubled " + Count(doubled) + "."
}
