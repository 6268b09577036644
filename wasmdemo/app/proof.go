//go:build js

package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/trivium-hub/trivium/wasmdemo/app/internal/board"
)

func number(column int) string { return strconv.Itoa(column + 1) }

// proofView is the line that says whether the columns have the same events.
type proofView struct {
	headline, counts, detail *property
	state                    *attribute
}

func newProofView() *proofView {
	return &proofView{
		headline: textOf(byID("proof-headline")), counts: textOf(byID("proof-counts")), detail: textOf(byID("proof-detail")),
		state: &attribute{node: byID("proof"), name: "data-state"},
	}
}

func (v *proofView) draw(p *page, report board.Report) {
	verdict := report.Verdict()
	v.headline.set(verdict.Headline)
	v.counts.set(verdict.Counts)
	v.detail.set(verdict.Detail)
	switch {
	case report.Faulty():
		v.state.set("bad")
	case report.Compared > 0:
		v.state.set("good")
	default:
		v.state.set("idle")
	}
	p.announcer.verdict(verdict.Headline, report.Faulty())
}

// announceEvery is the least time between two announcements: a screen reader reads them to the end.
const announceEvery = 4 * time.Second

// announcer tells a screen reader when a column does something else, and when the proof fails. It
// keeps only the newest of each, so that it never has much to say.
type announcer struct {
	text    *property
	modes   [board.Columns]board.Mode
	columns [board.Columns]string
	proof   string
	faulty  bool
	said    time.Time
}

func (a *announcer) note(column int, status board.ConnectionStatus) {
	if a.modes[column] != status.Mode {
		a.modes[column] = status.Mode
		a.columns[column] = "Column " + number(column) + ": " + status.Text + "."
	}
}

func (a *announcer) verdict(headline string, faulty bool) {
	if a.faulty != faulty {
		a.faulty, a.proof = faulty, headline
	}
}

func (a *announcer) draw(now time.Time) {
	text := strings.Join(strings.Fields(a.proof+" "+strings.Join(a.columns[:], " ")), " ")
	if text == "" || now.Sub(a.said) < announceEvery {
		return
	}
	a.text.set(text)
	a.said, a.proof, a.columns = now, "", [board.Columns]string{}
}
