package board

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strconv"
)

// Series identifies the page's own events, which are numbered from 1 and sent in order. The numbers
// reveal events that no column has received. Comparing the columns would not reveal them.
type Series struct {
	name     string
	sent     uint64
	last     [Columns]uint64
	reported [Columns]bool // whether a gap was reported after the last event
}

// Unique returns a random hexadecimal string. It is not a secret. Package uuid is not used, because
// it would add much code to the page.
func Unique() string {
	const long = 1 << 63 // with this bit, a number has 16 hexadecimal digits
	return strconv.FormatUint(long|rand.Uint64(), 16) + strconv.FormatUint(long|rand.Uint64(), 16)
}

// newSeriesName returns a random name, which is short because the page shows it.
func newSeriesName() string { return Unique()[:8] }

// Parts of an event's data that follow the fields of the sample.
const (
	seriesN    = `,"n":`
	seriesSent = `,"sent":`
	seriesName = `,"series":"`
	seriesEnd  = `"}`
)

// AppendSeries appends the data of an event to dst. The data is a JSON object with the given fields
// (at least one), the name of the series, the number of the event, and the time of publishing in
// milliseconds on the page's clock.
func AppendSeries(dst []byte, fields, name string, n uint64, sent float64) []byte {
	dst = append(append(dst, '{'), fields...)
	dst = strconv.AppendUint(append(dst, seriesN...), n, 10)
	dst = strconv.AppendFloat(append(dst, seriesSent...), sent, 'f', 1, 64)
	return append(append(append(dst, seriesName...), name...), seriesEnd...)
}

// ParseSeries parses data that AppendSeries has written with the given name. ok is false for any
// other data.
func ParseSeries(data []byte, name string) (n uint64, sent float64, ok bool) {
	rest, found := bytes.CutSuffix(data, []byte(seriesName+name+seriesEnd))
	sentAt := bytes.LastIndex(rest, []byte(seriesSent))
	if name == "" || !found || sentAt < 0 {
		return 0, 0, false
	}
	nAt := bytes.LastIndex(rest[:sentAt], []byte(seriesN))
	if nAt < 0 {
		return 0, 0, false
	}
	n, err := strconv.ParseUint(string(rest[nAt+len(seriesN):sentAt]), 10, 64)
	sent, err2 := strconv.ParseFloat(string(rest[sentAt+len(seriesSent):]), 64)
	if err != nil || err2 != nil || math.IsNaN(sent) || math.IsInf(sent, 0) {
		return 0, 0, false
	}
	return n, sent, true
}

// Begin starts another series.
func (s *Series) Begin(name string) { *s = Series{name: name} }

// TakeNumbers returns the first of the next n numbers.
func (s *Series) TakeNumbers(n uint64) (first uint64) {
	s.sent += n
	return s.sent - n + 1
}

// Received records that a column has received event n of the series. It returns the number of
// events that are missing since the column's previous event, or 0 if a gap was reported in between.
func (s *Series) Received(c int, n uint64) (missing uint64) {
	if n > s.last[c] {
		if !s.reported[c] {
			missing = n - s.last[c] - 1
		}
		s.last[c] = n
	}
	s.reported[c] = false
	return missing
}

// Gap records a gap of a column.
func (s *Series) Gap(c int) { s.reported[c] = true }
