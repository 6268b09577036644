package wire

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/trivium-hub/trivium/hub"
)

// Selection is what a subscription asks for in its query (docs/protocol.md#starting-a-subscription).
type Selection struct {
	Filters  []hub.Filter // as they were given; none is everything that the reader may read
	Start    hub.Start
	Conflate bool
}

// ParseSelection reads the query parameters that every transport takes: topic, at most maxTopics
// times (0: any number), cursor, last, since, conflate and lastEventId. Others are ignored. q is an
// url.Values, by its plain type since a page has no room for that package.
//
// A lastEventID, the header of that name, stands for the position whatever the query says, and is
// never refused: what is no cursor becomes a Foreign start. The parameter lastEventId does the same
// where the header is absent. now is what a since of some duration counts back from. The error is an
// *hub.InvalidError naming the parameter.
func ParseSelection(q map[string][]string, lastEventID string, maxTopics int, now time.Time) (Selection, error) {
	var s Selection
	var err error
	if s.Filters, err = parseFilters(q["topic"], maxTopics); err != nil {
		return Selection{}, err
	}
	if lastEventID = LastEventID(q, lastEventID); lastEventID != "" {
		s.Start = startAfter(lastEventID)
	} else if s.Start, err = queryStart(q, now); err != nil {
		return Selection{}, err
	}
	conflate, err := single(q, "conflate")
	switch {
	case err != nil:
		return Selection{}, err
	case conflate == nil:
	case *conflate != "key":
		return Selection{}, badInput("conflate", `must be "key"`)
	default:
		s.Conflate = true
	}
	return s, nil
}

func parseFilters(topics []string, limit int) ([]hub.Filter, error) {
	if limit > 0 && len(topics) > limit {
		return nil, badInput("topic", fmt.Sprintf("at most %d are allowed, these are %d", limit, len(topics)))
	}
	var filters []hub.Filter
	for _, topic := range topics {
		f, err := hub.ParseFilter(topic)
		if err != nil {
			return nil, err
		}
		filters = append(filters, f)
	}
	return filters, nil
}

// single gives the value of a parameter that is not repeatable, nil where it is absent.
func single(q map[string][]string, name string) (*string, error) {
	values := q[name]
	switch len(values) {
	case 0:
		return nil, nil
	case 1:
		return &values[0], nil
	}
	return nil, badInput(name, "must stand only once")
}

// LastEventID returns the id that a client resumes after: the header's if there is one, else that of
// the parameter lastEventId, which some EventSource libraries have instead. Of several parameters
// the last counts, since a library appends its own to the URL that it was given.
func LastEventID(q map[string][]string, header string) string {
	if values := q["lastEventId"]; header == "" && len(values) > 0 {
		return values[len(values)-1]
	}
	return header
}

func startAfter(lastEventID string) hub.Start {
	cursor, err := hub.ParseCursor(lastEventID)
	if err != nil {
		return hub.Start{Foreign: lastEventID}
	}
	return hub.Start{Cursor: &cursor}
}

func queryStart(q map[string][]string, now time.Time) (hub.Start, error) {
	cursor, err := single(q, "cursor")
	if err != nil {
		return hub.Start{}, err
	}
	last, err := single(q, "last")
	if err != nil {
		return hub.Start{}, err
	}
	since, err := single(q, "since")
	if err != nil {
		return hub.Start{}, err
	}
	return ParseStart(cursor, last, since, now)
}

// ParseStart reads a position, of which at most one may be given: a cursor, the number of newest
// events (0 to hub.MaxLast), or a time, either RFC 3339 or a positive Go duration before now. Nil
// is absent, and so is an empty cursor, which a client has before its first event; none is the
// newest position. The error is an *hub.InvalidError naming the parameter.
func ParseStart(cursor, last, since *string, now time.Time) (hub.Start, error) {
	const exclusive = "must stand alone: cursor, last and since exclude each other"
	if cursor != nil && *cursor == "" {
		cursor = nil
	}
	switch {
	case last != nil && cursor != nil:
		return hub.Start{}, badInput("last", exclusive)
	case since != nil && (cursor != nil || last != nil):
		return hub.Start{}, badInput("since", exclusive)
	case cursor != nil:
		c, err := hub.ParseCursor(*cursor)
		if err != nil {
			return hub.Start{}, badInput("cursor", err.Error())
		}
		return hub.Start{Cursor: &c}, nil
	case last != nil:
		n, err := strconv.ParseUint(*last, 10, 32)
		if err != nil || n > hub.MaxLast {
			return hub.Start{}, badInput("last", fmt.Sprintf("must be a decimal number from 0 to %d", hub.MaxLast))
		}
		return hub.Start{Last: int(n)}, nil
	case since != nil:
		return parseSince(*since, now)
	}
	return hub.Start{}, nil
}

func parseSince(s string, now time.Time) (hub.Start, error) {
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return hub.Start{Since: now.Add(-d)}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	// Parse also takes an hour of one digit and a comma before the fraction.
	if err != nil || s[len("2006-01-02T15")] != ':' || strings.Contains(s, ",") {
		return hub.Start{}, badInput("since",
			"must be a positive duration such as 90s, 10m or 1h30m, or an RFC 3339 time such as 2026-01-02T15:04:05Z (a + in it is %2B in a URL)")
	}
	if t.IsZero() {
		t = t.Add(1) // the zero time says that there is none; no event is as old as either
	}
	return hub.Start{Since: t}, nil
}
