package board

import "strings"

// Level summarizes the comparison and determines the banner's color.
type Level string

// Levels.
const (
	Idle Level = "idle" // nothing was compared yet, and there is no problem
	Good Level = "good"
	Warn Level = "warn" // identical so far, but a column is behind or not connected
	Bad  Level = "bad"  // the columns differ, or the hub cannot be reached
)

// Verdict is the text of a report.
type Verdict struct {
	Level    Level
	Headline string // whether the columns have the same events in the same order
	Counts   string // numbers of events that were lost, doubled and out of order
	Detail   string // columns that are behind, and reported gaps
}

// Verdict returns the report as text. Its level is Good only if the events are identical, and every
// column is live and not lagging. unreachable must be set if the page itself gets no answer from
// the hub.
func (r Report) Verdict(columns [Columns]ConnectionStatus, unreachable bool) Verdict {
	v := Verdict{Level: Good, Counts: r.counts(), Detail: r.detail()}
	soFar := "Identical so far: " + Plural(r.Compared, "event", "events")
	switch faulty, ended, troubles := r.faulty(), ended(columns), r.troubles(columns); {
	case len(faulty) > 0:
		v.Level, v.Headline = Bad, "Not the same events in the same order: see "+strings.Join(faulty, " and ")+"."
		v.Counts = Count(r.Compared) + " compared · " + v.Counts
	case unreachable || allFailed(columns):
		v.Level, v.Headline = Bad, "The hub does not answer. "+soFar
	case r.Compared == 0 && allOff(columns):
		v.Level, v.Headline = Idle, "Not connected"
	case len(ended) > 0:
		v.Level, v.Headline = Bad, "The hub ended "+strings.Join(ended, " and ")+". "+soFar
	case len(troubles) > 0:
		v.Level, v.Headline = Warn, soFar+"; "+strings.Join(troubles, ", ")
	case r.Compared == 0:
		v.Level, v.Headline = Idle, "Waiting for the first event"
	default:
		v.Headline = soFar
	}
	return v
}

func (r Report) counts() string {
	var lost, doubled, disorder uint64
	for _, t := range r.Columns {
		lost, doubled, disorder = lost+t.Lost, doubled+t.Doubled, disorder+t.Disorder
	}
	// The non-breaking spaces keep each count on one line.
	return "lost\u00a0" + Count(lost) + " · doubled\u00a0" + Count(doubled) + " · out\u00a0of\u00a0order\u00a0" + Count(disorder)
}

// faulty returns the names of the faulty columns.
func (r Report) faulty() (names []string) {
	for c, t := range r.Columns {
		if t.Faulty() {
			names = append(names, columnName(c))
		}
	}
	return names
}

func (r Report) detail() string {
	var detail []string
	for c, t := range r.Columns {
		column := columnName(c)
		for _, fault := range []struct {
			n    uint64
			what string
		}{{t.Lost, " lost "}, {t.Doubled, " doubled "}, {t.Disorder, " got out of order "}} {
			if fault.n > 0 {
				detail = append(detail, column+fault.what+Count(fault.n))
			}
		}
		if t.Gaps > 0 {
			gap := column + " received " + Plural(t.Gaps, "gap", "gaps")
			if t.InGaps > 0 {
				gap += " with " + Plural(t.InGaps, "event", "events")
			}
			detail = append(detail, gap)
		}
		if t.Unchecked > 0 {
			detail = append(detail, column+" was too far behind to compare "+Plural(t.Unchecked, "event", "events"))
		}
	}
	return strings.Join(detail, " · ")
}

// troubles returns a text for each column that is not connected, is behind, or was compared only in
// part. The text contains the reason.
func (r Report) troubles(columns [Columns]ConnectionStatus) (troubles []string) {
	for c, t := range r.Columns {
		what := ""
		switch mode := columns[c].Mode; {
		case mode != Live && t.Behind > 0:
			what = modeWords[mode] + ", " + Count(t.Behind) + " behind"
		case mode != Live:
			what = modeWords[mode]
		case r.Lagging[c]:
			what = Count(t.Behind) + " behind"
		case t.InGaps > 0:
			what = "missing the events of its gaps"
		case t.Unchecked > 0:
			what = "only partly compared"
		default:
			continue
		}
		troubles = append(troubles, columnName(c)+" is "+what)
	}
	return troubles
}

// modeWords describes the modes of columns that are not live, for texts such as "column 1 is stalled".
var modeWords = map[Mode]string{
	Off: "disconnected", Released: "released", Broken: "interrupted", Connecting: "connecting", Stalled: "stalled",
	Waiting: "reconnecting", Ended: "ended",
}

func ended(columns [Columns]ConnectionStatus) (names []string) {
	for c, s := range columns {
		if s.Mode == Ended {
			names = append(names, columnName(c))
		}
	}
	return names
}

func allOff(columns [Columns]ConnectionStatus) bool {
	for _, s := range columns {
		if s.Mode != Off {
			return false
		}
	}
	return true
}

// allFailed reports whether every column that should be connected has failed to connect since it
// was last live. A single failed connection does not show that the hub cannot be reached.
func allFailed(columns [Columns]ConnectionStatus) bool {
	tried := 0
	for _, s := range columns {
		switch {
		case s.Mode == Off || s.Mode == Released || s.Mode == Broken || s.Mode == Ended:
		case !s.Failed:
			return false
		default:
			tried++
		}
	}
	return tried > 0
}
