package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/trivium-hub/trivium/transports"
	"github.com/trivium-hub/trivium/transports/client"
)

// notes is what is told beside the events: on a terminal by a status line, else in lines of its own
// when the connection is lost and when it is back. That events were lost is always a line.
type notes struct {
	out  io.Writer
	line *statusLine // nil: there is none
	away bool        // it was told that there is no connection
	why  string      // the reason that was told last
}

// tell says how the client does.
func (n *notes) tell(state client.State, stats client.Stats) {
	if n.line != nil {
		n.line.draw(state, stats)
		return
	}
	reason := reasonOf(state)
	switch {
	case trying(state) && !n.away:
		n.away = true
		n.say("not connected, and trying again: " + reason)
	case state.Phase != client.Live || !n.away && reason == n.why:
	case reason != "":
		n.away, n.why = false, reason
		n.say("connected over " + transportName(state.Transport) + ": " + reason)
	case n.away:
		n.away, n.why = false, reason
		n.say("connected over " + transportName(state.Transport))
	}
}

// trying reports that a try has failed. Between three that wait for an answer there is no wait.
func trying(state client.State) bool {
	return state.Phase == client.Waiting || state.Phase == client.Connecting && state.Reason != nil
}

// gap says that events were lost.
func (n *notes) gap(gap *client.Gap) {
	lost := "events were lost"
	if !gap.Certain {
		lost = "events may have been lost"
	}
	after := ""
	if gap.After != "" {
		after = " after " + harmless(gap.After)
	}
	n.say(fmt.Sprintf("%s%s (%s); going on after %s", lost, after, harmless(string(gap.Reason)), gap.ResumedAt))
}

func (n *notes) say(text string) { fmt.Fprintln(n.out, "trivium: "+text) }

// clear makes room for a line; end does so for good.
func (n *notes) clear() {
	if n.line != nil {
		n.line.erase()
	}
}

func (n *notes) end() { n.clear() }

func reasonOf(state client.State) string {
	if state.Reason == nil {
		return ""
	}
	return harmless(state.Reason.Error())
}

// statusLine is the last line of a terminal, which says how the client does.
type statusLine struct {
	out   io.Writer
	width func() int // of the terminal, in cells
	drawn bool
	pace  pace
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

// draw replaces the line. It takes less than the width: a line that is full has some terminals go on
// in the next, which nothing would erase.
func (l *statusLine) draw(state client.State, stats client.Stats) {
	text := statusText(state, stats, l.pace.at(time.Now(), stats.Delivered))
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

// statusText is in ASCII, a cell for each byte.
func statusText(state client.State, stats client.Stats, perSecond float64) string {
	var b strings.Builder
	over := transportName(state.Transport)
	switch state.Phase {
	case client.Connecting:
		b.WriteString("connecting over " + over)
	case client.Live:
		b.WriteString("live over " + over)
	case client.Waiting:
		fmt.Fprintf(&b, "not connected, trying again in %v", state.Wait.Round(100*time.Millisecond))
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

// pace is how many events came in a second, over the last few.
type pace struct{ seen []sample }

type sample struct {
	at    time.Time
	count uint64
}

// rateWindow is the time over which a rate is taken.
const rateWindow = 3 * time.Second

// at adds a count and gives the rate up to then.
func (p *pace) at(now time.Time, count uint64) float64 {
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
