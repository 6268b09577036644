package board

import (
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/trivium-hub/trivium/transports/client"
)

// TransportName returns the name that the page shows for a transport.
func TransportName(t client.Transport) string {
	switch t {
	case client.WebSocket:
		return "WebSocket"
	case client.SSE:
		return "SSE by fetch"
	case client.EventSource:
		return "EventSource"
	case client.LongPoll:
		return "long-poll"
	}
	return "automatic"
}

// ColumnNumber returns the number that the page shows for a column, counted from 1.
func ColumnNumber(c int) string { return strconv.Itoa(c + 1) }

func columnName(c int) string { return "column " + ColumnNumber(c) }

// Count formats a number with thousands separators.
func Count(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// PerSecond formats a rate; small rates have one decimal.
func PerSecond(rate float64) string {
	if rate < 10 {
		return strconv.FormatFloat(rate, 'f', 1, 64)
	}
	return Count(uint64(math.Round(rate)))
}

// Span formats a duration with at most three digits.
func Span(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms < 10:
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	case ms < 1000:
		return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
	case ms < 10_000:
		return strconv.FormatFloat(ms/1000, 'f', 1, 64) + " s"
	}
	return strconv.FormatFloat(ms/1000, 'f', 0, 64) + " s"
}

// Plural formats a count with its noun.
func Plural(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

// clockText describes how latencies were measured.
func clockText(foreign, all uint32) string {
	switch {
	case all == 0:
		return ""
	case foreign == 0:
		return "by this page’s clock"
	case foreign < all:
		return "some by the hub’s clock, the others by this page’s"
	}
	return "by the hub’s clock"
}

// networkError is the name of every network error of fetch. It is removed from messages, because it
// does not help users.
const networkError = "TypeError"

// Reason describes an error, with the status of a refusal.
func Reason(err error) string {
	if err == nil {
		return ""
	}
	if problem, ok := errors.AsType[*client.Problem](err); ok {
		return ProblemText(problem)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer arrived in time; perhaps other tabs hold the six connections that a browser allows"
	}
	text := strings.ReplaceAll(err.Error(), "client: ", "") // removes every occurrence of the prefix
	if text == networkError {
		return "the connection was lost"
	}
	return strings.TrimSuffix(text, ": "+networkError)
}

// ProblemText describes a refusal by the hub.
func ProblemText(p *client.Problem) string {
	text := p.Error()
	if p.Status != 0 {
		text = strconv.Itoa(p.Status) + " " + text
	}
	return text
}

// GapText describes a gap.
func GapText(g *client.Gap) string {
	text := "Events were lost here: "
	if !g.Certain {
		text = "Events may be lost here: "
	}
	switch g.Reason {
	case "expired":
		return text + "the hub no longer retained them."
	case "epoch":
		return text + "the hub started a new log."
	case "future":
		return text + "the hub's log ends before this column's position."
	}
	return text + string(g.Reason)
}

// Seconds formats a duration in seconds, with one decimal.
func Seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
}

// Moment formats a local time of day with milliseconds.
func Moment(t time.Time) string {
	hour, minute, second := t.Clock()
	text := []byte("00:00:00.000")
	put := func(at, digits, n int) {
		for i := at + digits - 1; i >= at; i-- {
			text[i] = '0' + byte(n%10)
			n /= 10
		}
	}
	put(0, 2, hour)
	put(3, 2, minute)
	put(6, 2, second)
	put(9, 3, t.Nanosecond()/1e6)
	return string(text)
}
