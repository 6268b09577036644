package transporttest

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
)

// scenario is a test that runs over every path.
type scenario struct {
	name   string
	config Config // in addition to the configuration of the path
	run    func(*testing.T, *Server, Path)
}

// runScenarios runs every scenario over every path, all in parallel.
func runScenarios(t *testing.T, rows []scenario) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			for _, r := range Paths() {
				t.Run(r.Name, func(t *testing.T) {
					t.Parallel()
					cfg := row.config
					cfg.Portable, cfg.Compression = r.Config.Portable, r.Config.Compression
					cfg.TLS, cfg.H2C = r.Config.TLS, r.Config.H2C
					row.run(t, Start(t, cfg), r)
				})
			}
		})
	}
}

// retain returns the Config of a hub that retains the given number of events.
func retain(events int) Config {
	return Config{Hub: hub.Config{Retention: hub.Retention{Events: events}}}
}

func TestScenarios(t *testing.T) {
	t.Parallel()
	runScenarios(t, []scenario{
		{"live", Config{}, live},
		{"data is kept byte for byte", Config{}, byteForByte},
		{"filters", Config{}, filters},
		{"last", Config{}, last},
		{"since", Config{}, since},
		{"resume", Config{}, resume},
		{"Last-Event-ID", Config{}, lastEventID},
		{"connection lost before the first event", Config{}, cutBeforeFirst},
		{"heartbeat", Config{Heartbeat: 100 * time.Millisecond}, heartbeat},
		{"history followed by new events", Config{}, join},
		{"grant", Config{Grant: &auth.Grant{Subscribe: filterSet("a.>")}}, grant},
		{"bad parameters", Config{MaxTopics: 2}, badParameters},
	})
}

func filterSet(filters ...string) hub.FilterSet {
	var set []hub.Filter
	for _, f := range filters {
		filter, err := hub.ParseFilter(f)
		if err != nil {
			panic(err)
		}
		set = append(set, filter)
	}
	return hub.NewFilterSet(set...)
}

func live(t *testing.T, s *Server, r Path) {
	c, _ := opened(t, s, r, Request{})
	var events []*hub.Event
	for i := range 50 {
		events = append(events, JSON("t"+strconv.Itoa(i%3), strconv.Itoa(i)))
	}
	s.Publish(t, events[:20]...)
	expect(t, c, events[:20]...)
	s.Publish(t, events[20:]...)
	expect(t, c, events[20:]...)
}

func byteForByte(t *testing.T, s *Server, r Path) {
	events := []*hub.Event{
		JSON("t", `1.50`),
		JSON("t", `12345678901234567890`),
		JSON("t", `-0.0E+1`),
		JSON("t", `null`),
		JSON("t", `{ "b" :1,  "a":[1 ,2],"b":"\u00e9\/é😀" }`),
		JSON("t", "{\n  \"a\": 1,\r\n\r  \"b\":\t\"\u2028\"\n}"),
		{Topic: "t.\u65e5", Type: "kind: of", Key: "k \"", Data: []byte(`"typed"`)},
		{Topic: "t", Encoding: hub.Text, Data: []byte("one\r\ntwo\rthree\n\n four\r")},
		{Topic: "t", Encoding: hub.Text, Data: []byte("data: x\nid: 9\n\nevent: y\n")},
		{Topic: "t", Encoding: hub.Text, Data: []byte(" \ufefflead\x00\x1f\"\\")},
		{Topic: "t", Encoding: hub.Text},
		{Topic: "t", Encoding: hub.Binary, Data: []byte{0, 255, '\r', '\n', 128}},
		{Topic: "t", Encoding: hub.Binary},
	}
	c, begin := opened(t, s, r, Request{})
	s.Publish(t, events...)
	expect(t, c, events...)
	expect(t, connect(t, s, r, Query("cursor", begin)), events...)
}

func filters(t *testing.T, s *Server, r Path) {
	topics := []string{"a", "a.b", "a.b.c", "a.x.c", "b", "b.b.c", "end"}
	for _, row := range []struct {
		filters []string
		want    []string
	}{
		{[]string{">"}, topics},
		{nil, topics},
		{[]string{"a.>", "end"}, []string{"a.b", "a.b.c", "a.x.c", "end"}},
		{[]string{"*", "a.*.c"}, []string{"a", "a.b.c", "a.x.c", "b", "end"}},
		{[]string{"*.b.*", "a.b.c", "a.>", "end"}, []string{"a.b", "a.b.c", "a.x.c", "b.b.c", "end"}},
		{[]string{"end", "b", "a"}, []string{"a", "b", "end"}},
	} {
		ask := Request{Query: map[string][]string{"topic": row.filters}}
		c, begin := opened(t, s, r, ask)
		var events []*hub.Event
		for _, topic := range topics {
			e := JSON(topic, `1`)
			s.Publish(t, e)
			for _, want := range row.want {
				if want == topic {
					events = append(events, e)
				}
			}
		}
		expect(t, c, events...)
		again := Query("cursor", begin)
		again.Query["topic"] = row.filters
		expect(t, connect(t, s, r, again), events...)
	}
}

// numbered publishes n events whose data is their number. It uses the given topics in turn.
func numbered(t *testing.T, s *Server, n int, topics ...string) []*hub.Event {
	t.Helper()
	events := make([]*hub.Event, n)
	for i := range events {
		events[i] = JSON(topics[i%len(topics)], strconv.Itoa(i))
	}
	s.Publish(t, events...)
	return events
}

func last(t *testing.T, s *Server, r Path) {
	before := numbered(t, s, 10, "a", "b")
	after := JSON("a", `"after"`)
	three := connect(t, s, r, Query("last", "3"))
	ofTopic := connect(t, s, r, Query("last", "2", "topic", "a"))
	more := connect(t, s, r, Query("last", "1000"))
	none := connect(t, s, r, Query("last", "0"))
	s.Publish(t, after)
	expect(t, three, append(before[7:10:10], after)...)
	expect(t, ofTopic, before[6], before[8], after)
	expect(t, more, append(before[:10:10], after)...)
	expect(t, none, after)
}

func since(t *testing.T, s *Server, r Path) {
	events := numbered(t, s, 10, "a", "b")
	at := events[4].Time.Format(time.RFC3339Nano)
	expect(t, connect(t, s, r, Query("since", at)), events[4:]...)
	expect(t, connect(t, s, r, Query("since", at, "topic", "b")), events[5], events[7], events[9])
	expect(t, connect(t, s, r, Query("since", "1m")), events...)
	if strings.HasPrefix(r.Name, "poll") {
		return // the next request of a poll has only a cursor
	}
	due := time.Now().Add(300 * time.Millisecond)
	future := connect(t, s, r, Query("since", due.UTC().Format(time.RFC3339Nano)))
	early, next := JSON("a", `"early"`), JSON("a", `"next"`)
	s.Publish(t, early)
	time.Sleep(time.Until(due)) // events that are accepted from now on must be delivered
	s.Publish(t, next)
	if !early.Time.Before(due) { // on a slow machine, the early event may be accepted after the due time
		expect(t, future, early)
	}
	expect(t, future, next)
}

func resume(t *testing.T, s *Server, r Path) {
	events := numbered(t, s, 20, "a", "b")
	for i := 0; i < len(events)-1; i += 5 {
		cursor := events[i].ID.String()
		expect(t, connect(t, s, r, Query("cursor", cursor)), events[i+1:]...)
	}
	// A cursor may be the ID of an event that the filters do not match.
	expect(t, connect(t, s, r, Query("cursor", events[4].ID.String(), "topic", "b")), events[5], events[7], events[9])
	newest, _ := opened(t, s, r, Query("cursor", events[19].ID.String()))
	next := JSON("a", `"next"`)
	s.Publish(t, next)
	expect(t, newest, next)
}

func lastEventID(t *testing.T, s *Server, r Path) {
	events := numbered(t, s, 10, "a")
	cursor := events[6].ID.String()
	for name, ask := range map[string]Request{
		"no parameters":                  {LastEventID: cursor},
		"overrides cursor":               {LastEventID: cursor, Query: Query("cursor", events[1].ID.String()).Query},
		"overrides last and since":       {LastEventID: cursor, Query: Query("last", "9", "since", "never").Query},
		"empty header overrides nothing": {EmptyID: true, Query: Query("cursor", cursor).Query},
	} {
		t.Log(name)
		expect(t, connect(t, s, r, ask), events[7:]...)
	}
	for _, id := range []string{"garbage", "42", "\u00e9 x", cursor + "x"} {
		c := connect(t, s, r, Request{LastEventID: id})
		requireGap(t, read(t, c, 1)[0], hub.GapEpoch, false)
		expect(t, c, events...)
	}
}

func requireGap(t *testing.T, item Item, reason hub.GapReason, certain bool) {
	t.Helper()
	require.Equal(t, Gap, item.Kind, "%+v", item)
	require.Equal(t, reason, item.Gap.Reason)
	require.Equal(t, certain, item.Gap.Certain)
	require.Equal(t, item.Gap.ResumedAt.String(), item.ID)
}

func cutBeforeFirst(t *testing.T, s *Server, r Path) {
	numbered(t, s, 3, "a")
	c, begin := opened(t, s, r, Query("topic", "a"))
	c.Cut()
	missed := JSON("a", `"missed"`)
	s.Publish(t, JSON("b", `0`), missed)
	expect(t, connect(t, s, r, Query("topic", "a", "cursor", begin)), missed)
}

func heartbeat(t *testing.T, s *Server, r Path) {
	c, _ := opened(t, s, r, Query("topic", "quiet"))
	rounds := 3
	if r.IsLongPoll() {
		rounds = 1 // a poll waits for a whole second
	}
	for range rounds {
		numbered(t, s, 5, "other")
		newest := s.Hub.Position().String()
		var item Item
		for item.ID != newest { // earlier heartbeats may contain an older position
			var err error
			item, err = c.Next()
			require.NoError(t, err)
			require.Equal(t, Heartbeat, item.Kind, "%+v", item)
		}
	}
	e := JSON("quiet", `1`)
	s.Publish(t, e)
	expect(t, c, e)
}

// join tests the transition from history to new events: it starts subscriptions at past positions while
// events are published as fast as possible.
func join(t *testing.T, s *Server, r Path) {
	const n = 3000
	history := numbered(t, s, 500, "a", "b")
	done := make(chan []*hub.Event)
	go func() { done <- numbered(t, s, n, "a", "b") }()
	var clients []Client
	for i := range 4 {
		clients = append(clients, connect(t, s, r, Query("topic", "b", "cursor", history[i*100].ID.String())))
	}
	all := append(history, <-done...)
	for i, c := range clients {
		var want []*hub.Event
		for _, e := range all[i*100+1:] {
			if e.Topic == "b" {
				want = append(want, e)
			}
		}
		expect(t, c, want...)
	}
}

func grant(t *testing.T, s *Server, r Path) {
	all, _ := opened(t, s, r, Request{})
	one, _ := opened(t, s, r, Query("topic", "a.b"))
	for _, topic := range []string{"b", "a", ">", "*.b"} {
		refusal := refused(t, s, r, Query("topic", "a.b", "topic", topic))
		require.Equal(t, http.StatusForbidden, refusal.Status)
		require.Contains(t, refusal.Problem.Detail, topic)
		require.Contains(t, refusal.Header.Get("WWW-Authenticate"), "insufficient_scope")
	}
	events := numbered(t, s, 6, "a.b", "b", "a.c")
	expect(t, all, events[0], events[2], events[3], events[5])
	expect(t, one, events[0], events[3])
}

func badParameters(t *testing.T, s *Server, r Path) {
	for _, row := range []struct {
		parameter string
		ask       Request
	}{
		{"topic", Query("topic", "a*")},
		{"topic", Query("topic", "")},
		{"topic", Query("topic", "a", "topic", "b", "topic", "c")},
		{"topic", Query("topic", "a", "topic", "a", "topic", "a")},
		{"cursor", Query("cursor", "x")},
		{"cursor", Query("cursor", "00000000-1", "cursor", "00000000-1")},
		{"last", Query("last", "1001")},
		{"last", Query("last", "-1")},
		{"last", Query("last", "1", "cursor", "00000000-1")},
		{"since", Query("since", "-5s")},
		{"since", Query("since", "yesterday")},
		{"since", Query("since", "5s", "last", "1")},
		{"conflate", Query("conflate", "topic")},
		{"format", Query("format", "json")},
		{"format", Query("format", "")},
		{"format", Query("format", "cloudevents", "format", "cloudevents")},
	} {
		refusal := refused(t, s, r, row.ask)
		require.Equal(t, http.StatusBadRequest, refusal.Status)
		require.Equal(t, row.parameter, refusal.Problem.Parameter, "%v", row.ask)
		require.Equal(t, "application/problem+json", refusal.Header.Get("Content-Type"))
	}
	require.Zero(t, s.Hub.Stats().Subscriptions)
}
