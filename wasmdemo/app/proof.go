//go:build js

package main

import (
	"strings"
	"time"

	"github.com/trivium-hub/trivium/wasmdemo/app/internal/board"
)

// proofView shows whether the columns have received the same events.
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

func (v *proofView) draw(p *page, verdict board.Verdict) {
	v.headline.set(verdict.Headline)
	v.counts.set(verdict.Counts)
	v.detail.set(verdict.Detail)
	v.state.set(string(verdict.Level))
	p.announcer.verdict(verdict)
}

// breakView holds the button that interrupts a column's connection, and shows the result.
type breakView struct {
	page *page
	text *property
	off  *flag
}

func newBreakView(p *page) *breakView {
	return &breakView{page: p, text: textOf(byID("break-text")), off: &flag{node: byID("break-it"), name: "disabled"}}
}

func (v *breakView) draw(text string) {
	v.text.set(text)
	v.off.set(!v.page.started || v.page.cut.Running())
}

// announceEvery is the minimum time between two announcements, because a screen reader reads each
// announcement to its end.
const announceEvery = 4 * time.Second

// announcer describes changes for a screen reader: when a column changes its mode, and when the
// comparison turns bad or recovers. It keeps only the newest change of each kind, so that its text
// stays short.
type announcer struct {
	text    *property
	modes   [board.Columns]board.Mode
	columns [board.Columns]string
	proof   string
	bad     bool
	last    time.Time // time of the last announcement
}

func (a *announcer) column(c int, status board.ConnectionStatus) {
	if a.modes[c] != status.Mode {
		a.modes[c] = status.Mode
		a.columns[c] = "Column " + board.ColumnNumber(c) + ": " + status.Text + "."
	}
}

func (a *announcer) verdict(v board.Verdict) {
	if bad := v.Level == board.Bad; a.bad != bad {
		a.bad, a.proof = bad, v.Headline
	}
}

func (a *announcer) draw(now time.Time) {
	text := strings.Join(strings.Fields(a.proof+" "+strings.Join(a.columns[:], " ")), " ")
	if text == "" || now.Sub(a.last) < announceEvery {
		return
	}
	a.text.set(text)
	a.last, a.proof, a.columns = now, "", [board.Columns]string{}
}
