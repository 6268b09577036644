package wire

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/trivium-hub/trivium/hub"
)

// Selection is the parsed query of a subscription (docs/protocol.md#starting-a-subscription).
type Selection struct {
	Filters []hub.Filter // the filters in the query; empty: everything that the token may read
	Request hub.Request  // all other parameters; Request.Filters is not set
}

// ParseSelection parses the query parameters that all transports have in common: topic (at most
// maxTopics times; 0: any number), cursor, last, since, conflate and lastEventId. It ignores other
// parameters. q contains url.Values, but has another type to keep net/url out of the WebAssembly binary.
//
// lastEventID is the value of the header Last-Event-ID. It overrides the position in the query, and
// is never refused: a value that is not a cursor becomes a ForeignCursor. If the header is absent, the
// query parameter lastEventId is used in the same way. If since is a duration, it is subtracted from
// now. The error is a *hub.InvalidError that names the invalid parameter.
func ParseSelection(q map[string][]string, lastEventID string, maxTopics int, now time.Time) (Selection, error) {
	var s Selection
	var err error
	if s.Filters, err = parseFilters(q["topic"], maxTopics); err != nil {
		return Selection{}, err
	}
	if lastEventID = LastEventID(q, lastEventID); lastEventID != "" {
		s.Request.Start = startAfter(lastEventID)
	} else if s.Request.Start, err = queryStart(q, now); err != nil {
		return Selection{}, err
	}
	conflate, err := singleValue(q, "conflate")
	switch {
	case err != nil:
		return Selection{}, err
	case conflate == nil:
	case *conflate != "key":
		return Selection{}, badInput("conflate", `must be "key"`)
	default:
		s.Request.Conflate = true
	}
	return s, nil
}

func parseFilters(topics []string, limit int) ([]hub.Filter, error) {
	if limit > 0 && len(topics) > limit {
		return nil, badInput("topic", fmt.Sprintf("at most %d are allowed, got %d", limit, len(topics)))
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

// singleValue returns the value of a parameter that must not be repeated, or nil if the parameter
// is absent.
func singleValue(q map[string][]string, name string) (*string, error) {
	values := q[name]
	switch len(values) {
	case 0:
		return nil, nil
	case 1:
		return &values[0], nil
	}
	return nil, badInput(name, "must be given only once")
}

// LastEventID returns the ID after which a client resumes: the value of the header Last-Event-ID or, if
// the header is absent, of the query parameter lastEventId, which some EventSource libraries send
// instead. If the parameter is repeated, LastEventID returns the last value, because these libraries
// append the parameter to the URL.
func LastEventID(q map[string][]string, header string) string {
	if values := q["lastEventId"]; header == "" && len(values) > 0 {
		return values[len(values)-1]
	}
	return header
}

func startAfter(lastEventID string) hub.Start {
	cursor, err := hub.ParseCursor(lastEventID)
	if err != nil {
		return hub.Start{ForeignCursor: lastEventID}
	}
	return hub.Start{Cursor: &cursor}
}

func queryStart(q map[string][]string, now time.Time) (hub.Start, error) {
	cursor, err := singleValue(q, "cursor")
	if err != nil {
		return hub.Start{}, err
	}
	last, err := singleValue(q, "last")
	if err != nil {
		return hub.Start{}, err
	}
	since, err := singleValue(q, "since")
	if err != nil {
		return hub.Start{}, err
	}
	return ParseStart(cursor, last, since, now)
}

// ParseStart parses the start position of a subscription. At most one of cursor, last and since may be
// given: a cursor, the number of newest events (0 to hub.MaxLast), or a time, in the format of RFC 3339
// or as a positive Go duration before now. nil means absent. An empty cursor, which clients send before
// their first event, also means absent. Without a start position, the subscription starts after the
// newest event. The error is a *hub.InvalidError that names the invalid parameter.
func ParseStart(cursor, last, since *string, now time.Time) (hub.Start, error) {
	const exclusive = "must be given alone: cursor, last and since exclude each other"
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
	// time.Parse also accepts an hour of one digit, and a comma before the fraction of a second, which
	// RFC 3339 does not allow.
	if err != nil || s[len("2006-01-02T15")] != ':' || strings.Contains(s, ",") {
		return hub.Start{}, badInput("since",
			"must be a positive duration such as 90s, 10m or 1h30m, or an RFC 3339 time such as 2026-01-02T15:04:05Z (a + in it is %2B in a URL)")
	}
	if t.IsZero() {
		t = t.Add(1) // the zero time would mean "not set"; a later time has the same effect, as no event is that old
	}
	return hub.Start{Since: t}, nil
}
