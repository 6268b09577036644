package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/terminal"
	"github.com/trivium-hub/trivium/transports"
	"github.com/trivium-hub/trivium/transports/client"
)

// statusReporter reports the state of the connection. On a terminal, it updates a status line. Otherwise it prints a
// line whenever the connection is lost or restored. For each gap, it prints a line in both cases.
type statusReporter struct {
	out          io.Writer
	line         *statusLine // nil: there is no status line
	disconnected bool        // the last printed line reported that the connection is lost
	lastReason   string      // the last reported reason
}

// report shows the state and counters.
func (n *statusReporter) report(state client.State, stats client.Stats) {
	if n.line != nil {
		n.line.draw(state, stats)
		return
	}
	reason := reasonOf(state)
	switch {
	case trying(state) && !n.disconnected:
		n.disconnected = true
		n.printLine("not connected, retrying: " + reason)
	case state.Phase != client.Live || !n.disconnected && reason == n.lastReason:
	case reason != "":
		n.disconnected, n.lastReason = false, reason
		n.printLine("connected over " + transportName(state.Transport) + ": " + reason)
	case n.disconnected:
		n.disconnected, n.lastReason = false, reason
		n.printLine("connected over " + transportName(state.Transport))
	}
}

// trying reports whether the last attempt to connect failed. After a failure, the client waits, except
// with --transport auto, when it may try the next transport at once.
func trying(state client.State) bool {
	return state.Phase == client.Waiting || state.Phase == client.Connecting && state.Reason != nil
}

// gap reports lost events.
func (n *statusReporter) gap(gap *client.Gap) {
	lost := "events were lost"
	if !gap.Certain {
		lost = "events may have been lost"
	}
	after := ""
	if gap.After != "" {
		after = " after " + terminal.Harmless(gap.After)
	}
	n.printLine(fmt.Sprintf("%s%s (%s); resuming after %s", lost, after, terminal.Harmless(string(gap.Reason)), gap.ResumedAt))
}

func (n *statusReporter) printLine(text string) { fmt.Fprintln(n.out, "trivium: "+text) }

// clear erases the status line before another line is printed.
func (n *statusReporter) clear() {
	if n.line != nil {
		n.line.erase()
	}
}

func (n *statusReporter) end() { n.clear() }

func reasonOf(state client.State) string {
	if state.Reason == nil {
		return ""
	}
	return terminal.Harmless(state.Reason.Error())
}

// statusLine shows the client's state in the last line of a terminal.
type statusLine struct {
	out   io.Writer
	width func() int // returns the width of the terminal in columns
	drawn bool
	rate  rateMeter
}

func newStatusLine(out io.Writer) *statusLine {
	width := func() int {
		if file, ok := out.(*os.File); ok {
			if columns, _, err := term.GetSize(int(file.Fd())); err == nil && columns > 0 {
				return columns
			}
		}
		return 80
	}
	return &statusLine{out: out, width: width}
}

// draw replaces the status line. The line stays shorter than the terminal's width, because some terminals wrap a line
// that fills the width.
func (l *statusLine) draw(state client.State, stats client.Stats) {
	text := statusText(state, stats, l.rate.add(time.Now(), stats.Delivered))
	text = text[:min(len(text), max(l.width()-1, 0))]
	fmt.Fprint(l.out, "\r\x1b[K"+text)
	l.drawn = true
}

func (l *statusLine) erase() {
	if l.drawn {
		fmt.Fprint(l.out, "\r\x1b[K")
		l.drawn = false
	}
}

// statusText returns the status in ASCII, so that each byte takes one column.
func statusText(state client.State, stats client.Stats, perSecond float64) string {
	var b strings.Builder
	over := transportName(state.Transport)
	switch state.Phase {
	case client.Connecting:
		b.WriteString("connecting over " + over)
	case client.Live:
		b.WriteString("live over " + over)
	case client.Waiting:
		fmt.Fprintf(&b, "not connected, retrying in %v", state.Wait.Round(100*time.Millisecond))
	default:
		b.WriteString("ended")
	}
	fmt.Fprintf(&b, " | %d events, %.1f/s", stats.Delivered, perSecond)
	if stats.Gaps > 0 {
		fmt.Fprintf(&b, ", %d gaps", stats.Gaps)
	}
	if state.Reason != nil {
		b.WriteString(" | " + transports.Printable(state.Reason.Error()))
	}
	return b.String()
}

// rateMeter measures events per second over the last rateWindow.
type rateMeter struct{ seen []sample }

type sample struct {
	at    time.Time
	count uint64
}

// rateWindow is the period over which the rate is measured.
const rateWindow = 3 * time.Second

// add records the number of events counted until now, and returns the rate.
func (p *rateMeter) add(now time.Time, count uint64) float64 {
	p.seen = append(p.seen, sample{now, count})
	for len(p.seen) > 2 && now.Sub(p.seen[0].at) > rateWindow {
		p.seen = p.seen[1:]
	}
	first := p.seen[0]
	if took := now.Sub(first.at).Seconds(); took > 0 {
		return float64(count-first.count) / took
	}
	return 0
}
