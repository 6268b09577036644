package board

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strconv"
)

// Series is how the page knows its own events again, and finds out what was lost in all columns
// alike, which comparing them can't show: events that are sent under one name are numbered from 1
// without a hole, and sent in that order.
type Series struct {
	name string
	sent uint64
	last [Columns]uint64
	told [Columns]bool // a gap since the last
}

// Unique gives a text that nobody else has, in hexadecimal digits. It is no secret, and package uuid
// would bring all of crypto into the page.
func Unique() string {
	const long = 1 << 63 // so that none is shorter than 16 digits
	return strconv.FormatUint(long|rand.Uint64(), 16) + strconv.FormatUint(long|rand.Uint64(), 16)
}

// newSeriesName is short, since a person sees it.
func newSeriesName() string { return Unique()[:8] }

// The parts of an event's data.
const (
	seriesN    = `{"n":`
	seriesSent = `,"sent":`
	seriesName = `,"series":"`
	seriesEnd  = `"}`
)

// AppendSeries appends the data of an event: sent is in milliseconds of the page's own clock.
func AppendSeries(dst []byte, name string, n uint64, sent float64) []byte {
	dst = strconv.AppendUint(append(dst, seriesN...), n, 10)
	dst = strconv.AppendFloat(append(dst, seriesSent...), sent, 'f', 1, 64)
	return append(append(append(dst, seriesName...), name...), seriesEnd...)
}

// ParseSeries reads what AppendSeries wrote under the name; ok is false for anything else.
func ParseSeries(data []byte, name string) (n uint64, sent float64, ok bool) {
	rest, head := bytes.CutPrefix(data, []byte(seriesN))
	rest, tail := bytes.CutSuffix(rest, []byte(seriesName+name+seriesEnd))
	number, moment, both := bytes.Cut(rest, []byte(seriesSent))
	if name == "" || !head || !tail || !both {
		return 0, 0, false
	}
	n, err := strconv.ParseUint(string(number), 10, 64)
	sent, err2 := strconv.ParseFloat(string(moment), 64)
	if err != nil || err2 != nil || math.IsNaN(sent) || math.IsInf(sent, 0) {
		return 0, 0, false
	}
	return n, sent, true
}

// Begin begins another series.
func (s *Series) Begin(name string) { *s = Series{name: name} }

// Take gives the first of the next n numbers.
func (s *Series) Take(n uint64) (first uint64) {
	s.sent += n
	return s.sent - n + 1
}

// Came says that number n of the series came by a column, and gives how many are missing before
// it that no gap told of.
func (s *Series) Came(c int, n uint64) (missing uint64) {
	if n > s.last[c] {
		if !s.told[c] {
			missing = n - s.last[c] - 1
		}
		s.last[c] = n
	}
	s.told[c] = false
	return missing
}

// Gap says that a column was told of one.
func (s *Series) Gap(c int) { s.told[c] = true }
