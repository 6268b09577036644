package board

import (
	"strconv"
	"strings"
)

// Verdict is a report in words.
type Verdict struct {
	Headline string // whether the columns have the same events in the same order
	Counts   string // how many were compared, lost and doubled
	Detail   string // columns that are behind, and reported gaps
}

// Verdict returns the report in words.
func (r Report) Verdict() Verdict {
	var lost, doubled, disorder, gaps uint64
	var faults, detail []string
	for c, t := range r.Columns {
		column := "column " + strconv.Itoa(c+1)
		lost, doubled, disorder, gaps = lost+t.Lost, doubled+t.Doubled, disorder+t.Disorder, gaps+t.Gaps
		if t.Faulty() {
			faults = append(faults, column)
		}
		for _, fault := range []struct {
			n    uint64
			what string
		}{{t.Lost, " lost "}, {t.Doubled, " doubled "}, {t.Disorder, " got out of order "}} {
			if fault.n > 0 {
				detail = append(detail, column+fault.what+Count(fault.n))
			}
		}
		if t.Behind > 0 {
			detail = append(detail, column+" is behind by "+Count(t.Behind))
		}
		if t.Gaps > 0 {
			gap := column + " was told of " + Plural(t.Gaps, "gap", "gaps")
			if t.InGaps > 0 {
				gap += " with " + Plural(t.InGaps, "event", "events")
			}
			detail = append(detail, gap)
		}
		if t.Unchecked > 0 {
			detail = append(detail, column+" was too far behind to compare "+Plural(t.Unchecked, "event", "events"))
		}
	}
	v := Verdict{
		Counts: Count(r.Compared) + " compared · lost\u00a0" + Count(lost) + " · doubled\u00a0" + Count(doubled) +
			" · out\u00a0of\u00a0order\u00a0" + Count(disorder), // no line ends within one of them
	}
	switch {
	case len(faults) > 0:
		v.Headline = "Not the same events in the same order: see " + strings.Join(faults, " and ") + "."
	case r.Compared == 0 && len(detail) == 0:
		v.Headline = "Nothing to compare yet: publish something, or switch the load on."
	case r.Compared == 0:
		v.Headline = "Nothing compared yet."
	default:
		v.Headline = "The three columns have the same events in the same order."
	}
	if len(detail) == 0 && r.Compared > 0 {
		detail = []string{"all three are level"}
	}
	v.Detail = strings.Join(detail, " · ")
	return v
}
