package hostile

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/decode"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/hub"
)

var rightAttacks = []attack{
	{"subscribing with filters that are wider than the token's rights, in every encoding", widerFilters},
	{"publishing to topics outside the token's rights, in every encoding", widerPublishing},
	{"publishing with a token that may only read, and reading with one that may only publish", halfRights},
	{"cursor, last, since or Last-Event-ID in a request for topics that the token may not read", foreignHistory},
}

// wider maps each status of a refusal to the filters that the hub must refuse with it: 403 for valid
// filters to which the token "narrow" has no right, and 400 for invalid filters.
var wider = map[int][]string{
	http.StatusForbidden: {
		">", "*", "*.*", "*.>", "*.b", "a.*", "a.>", "a", "b", "a.b.c", "a.b.>", "a.b.*", "x", "x.>", "x.*.*", "x.y.z", "x.*.>", "open", "open2.>", "*.x",
		"A.B", "a.B", "A.b", "X.y", "Open.x", "cafe\u0301", "CAF\u00c9", "caf\u00e9.x", "\u0430.b", "a\uff0eb", "a\u3002b", "a,b", "%61.b", "a%2eb", "a.b%00", "a/b",
		"$sys", "$sys.>", "$.>", "$a.b", "$x.y", "\"a.b\"",
	},
	http.StatusBadRequest: {
		"", ".", "..", "x/../a.b", "a.", ".a", "a.b.", ".a.b", "a..b", "**", "a.**", "x.**", "$>", ">.", ">.b", ">.>", "a.>.b", "x.y*", "x*", "*x", "a*.b", "a.b>", ">>", "a.b,>", "a.b;>", "a.b|>", "'>'", " ", " a.b", "a.b ", "a. b", "a.b\n", "a.b\t", "a.b\x00",
		"a.b\r\n>", "\x1b[31m", "a\u200b.b", "a\u00a0.b", "\ufeffa.b", "a\u202e.b", "a.b\xff", strings.Repeat("x.", 200) + "y", strings.Repeat("x.", 20) + "y",
	},
}

func widerFilters(t *testing.T, f *testbed) {
	narrow := f.tokens["narrow"]
	socket := f.start(t, request{line: "GET /ws?subscribe=none", token: narrow})
	sent := 0
	for status, filters := range wider {
		for _, filter := range filters {
			asked := "topic=" + url.QueryEscape(filter)
			for _, route := range []string{"GET /sse?", "GET /ws?", pollNow + "&"} {
				for _, query := range []string{asked, "topic=a.b&" + asked, asked + "&topic=a.b"} {
					x := f.do(t, request{line: route + query, token: narrow})
					require.Equal(t, status, x.status, "%s%s", route, query)
				}
			}
			if !utf8.ValidString(filter) {
				continue // an invalid message would end the connection
			}
			if sent++; sent%90 == 0 { // a connection may send a hundred messages per second
				socket.conn.Close()
				socket = f.start(t, request{line: "GET /ws?subscribe=none", token: narrow})
			}
			m := f.command(t, socket, `{"op":"subscribe","topic":["a.b",`+quoted(filter)+`]}`)
			require.Equal(t, decode.OpError, m.Op, "%q", filter)
			require.Contains(t, []int{status, http.StatusBadRequest}, m.Problem.Status, "%q", filter)
		}
	}
	for _, filter := range []string{"$sys", "$sys.>", "$a.b", "$.>"} { // the right ">" does not include topics that begin with "$"
		for _, route := range []string{"GET /sse?", "GET /ws?", pollNow + "&"} {
			f.requireRefusedAt(t, route+"topic="+url.QueryEscape(filter), http.StatusForbidden, f.tokens["master"])
		}
	}
	// A percent-encoded topic is equal to the decoded one. Unknown parameters are ignored.
	for _, query := range []string{"topic=%61%2e%62", "topic=a.b&topic=x.%2A", "topic=open.%3E", "TOPIC=>", "topic[]=>", "topics=>", ""} {
		require.Equal(t, http.StatusOK, f.do(t, request{line: pollNow + "&" + query, token: narrow}).status, query)
	}
	for _, query := range []string{"topic=a.b;topic=>", "topic=%zz", "topic=%"} {
		require.Equal(t, http.StatusBadRequest, f.do(t, request{line: pollNow + "&" + query, token: narrow}).status, query)
	}
	// After all refusals, the token still receives events of exactly the topics to which it has a right.
	stream := f.start(t, request{line: "GET /sse?TOPIC=>&topic[]=>", token: narrow})
	f.command(t, socket, `{"op":"subscribe","topic":["a.b","x.*"]}`)
	for _, topic := range []string{"a.c", "x.y.z", "b", "A.B", "a.b"} {
		publishAs(f.main, t, f, topic)
	}
	m, _, err := socket.message()
	require.NoError(t, err)
	require.Equal(t, "a.b", m.Event.Topic)
	e, err := stream.stream.Next()
	require.NoError(t, err)
	require.Equal(t, "a.b", e.Topic)
}

// publishAs publishes a harmless event (its data does not contain breach) with the token p.Token, and returns its ID.
func publishAs(p *hubtest.Process, t *testing.T, f *testbed, topic string) (id string) {
	t.Helper()
	x := f.do(t, request{hub: p, line: "POST /publish", token: p.Token, body: `{"topic":"` + topic + `","data":1}`})
	require.Equal(t, http.StatusOK, x.status, x.body)
	var receipt struct{ ID string }
	require.NoError(t, json.Unmarshal([]byte(x.body), &receipt))
	return receipt.ID
}

func widerPublishing(t *testing.T, f *testbed) {
	narrow := f.tokens["narrow"]
	data := `"` + breach + `"`
	for _, target := range []string{
		"a.c", "a", "a.b.c", "x", "x.y.z", "A.B", "a.%42", "open.x", "%61%2Ec", "%73ecret", "a%2Fb", "a.b%2F..%2Fc", "a.b%2f", "..%2Fpublish%2Fa.c", "%2e%2e", "x.%2E.y", "x.y%2Ez",
		"caf%C3%A9", "cafe%CC%81", "$sys", "$a.b", "%24a.b", "x.*", "x.%2A", ">", "%3E", "*", "a.b.", ".a.b", "a..b", "a.b%00", "a.b%0A", "a.b%20", "a.b+", "a.b;x", "a.b,a.c",
		"a%EF%BC%8Eb", "%D0%B0.b", "x.%FF", "x.%E2%80%AE", "%zz", "a.b%", "a.b%2", "a.c?topic=a.b", "a.c%3Ftopic=a.b", "a.c%23a.b",
		"a.b/../secret", "./secret", "../secret", "/secret", "a.b//secret", "a.b/secret",
	} {
		x := f.do(t, request{line: "POST /publish/" + target, token: narrow, body: data})
		require.Contains(t, []int{http.StatusForbidden, http.StatusBadRequest, http.StatusNotFound}, x.status, target)
	}
	for _, line := range []string{"POST //publish/secret", "POST /./publish/secret", "POST /x/../publish/secret", "POST /PUBLISH/secret", "POST /publish%2Fsecret", "PUT /publish/a.b", "GET /publish/a.b", "POST http://a.b/publish/secret"} {
		x := f.do(t, request{line: line, token: narrow, body: data})
		require.Contains(t, []int{403, 404, 405}, x.status, line)
	}
	for _, body := range []string{
		breachIn("secret"), `{"topic":"a.b","topic":"secret","data":` + data + `}`, `{"topic":"secret","topic":"a.b","data":` + data + `}`,
		`{"topic":"a.b","t\u006fpic":"secret","data":` + data + `}`, `{"Topic":"a.b","topic":"secret","data":` + data + `}`, `{"topic":["a.b"],"data":` + data + `}`,
		"[" + breachIn("a.b") + "," + breachIn("secret") + "]", "[" + breachIn("secret") + "," + breachIn("a.b") + "]", "[[" + breachIn("a.b") + "]]",
		breachIn("a.b") + breachIn("secret"), breachIn("a.b") + "\n" + breachIn("secret"), breachIn("a.*"), breachIn(">"), breachIn("a\\u002ec"), breachIn("$a.b"),
	} {
		x := f.do(t, request{line: "POST /publish", token: narrow, body: body})
		require.Contains(t, []int{http.StatusForbidden, http.StatusBadRequest}, x.status, body)
		x = f.do(t, request{line: "POST /publish?topic=a.b", token: narrow, body: body, header: []string{"Trivium-Topic: a.b"}})
		require.Contains(t, []int{http.StatusForbidden, http.StatusBadRequest}, x.status, body)
	}
	x := f.do(t, request{line: "POST /publish", token: narrow, header: []string{"Content-Type: application/x-ndjson"}, body: `{"topic":"a.b","data":1}` + "\n" + breachIn("secret") + "\n" + breachIn("a.b")})
	require.Equal(t, http.StatusForbidden, x.status)
	require.Contains(t, x.body, `"line":2,"accepted":1`)
	socket := f.start(t, request{line: "GET /ws?subscribe=none", token: narrow})
	for _, topic := range []string{"secret", "a.c", "A.b", "a.b.", "x.*", "x.y.z", "$x.y", "a\\u002ec"} {
		m := f.command(t, socket, `{"op":"publish","topic":"`+topic+`","data":"`+breach+`"}`)
		require.Equal(t, decode.OpError, m.Op, topic)
	}
	for _, target := range []string{"a.b", "a%2Eb", "%61.b", "x.y", "x.%C3%A9"} { // encoded forms of topics that the token may publish to
		x := f.do(t, request{line: "POST /publish/" + target, token: narrow, body: "1"})
		require.Equal(t, http.StatusOK, x.status, target)
	}
}

func halfRights(t *testing.T, f *testbed) {
	reader, publisher := f.tokens["reader"], f.tokens["publisher"]
	f.requireRefusedAt(t, "POST /publish", http.StatusForbidden, reader)
	f.requireRefusedAt(t, "POST /publish/a.b", http.StatusForbidden, reader)
	socket := f.start(t, request{line: "GET /ws", token: reader})
	require.Equal(t, http.StatusForbidden, f.command(t, socket, `{"op":"publish","topic":"a.b","data":"`+breach+`"}`).Problem.Status)
	for _, route := range []string{"GET /sse", "GET /ws", pollNow, pollNow + "&topic=a.b", "GET /sse?last=10", "GET /ws?topic=>"} {
		f.requireRefusedAt(t, route, http.StatusForbidden, publisher)
	}
	socket = f.start(t, request{line: "GET /ws?subscribe=none&last=10", token: publisher})
	require.Equal(t, http.StatusForbidden, f.command(t, socket, `{"op":"subscribe","topic":"a.b","last":5}`).Problem.Status)
	require.Equal(t, decode.OpAck, f.command(t, socket, `{"op":"publish","topic":"half.rights","data":1}`).Op)
	m := f.command(t, socket, `{"op":"ping"}`)
	require.Equal(t, decode.OpAck, m.Op, "the publisher does not receive its own event")
	// A JWT without the claims subscribe and publish has no rights.
	bare := f.jwt(map[string]string{"subscribe": "", "publish": ""})
	f.requireRefusedAt(t, pollNow, http.StatusForbidden, bare)
	f.requireRefusedAt(t, "POST /publish", http.StatusForbidden, bare)
}

// foreignHistory starts a hub that retains 16 events, and publishes more, so that retention removes some. The
// token "narrow" may read only some of the removed events and only some of the retained events.
func foreignHistory(t *testing.T, f *testbed) {
	narrow := f.tokens["narrow"]
	p := f.tenants(t, "--retain-events", "16", "--heartbeat", "50ms")
	first := publishAs(p, t, f, "foreign.1")
	own := publishAs(p, t, f, "x.own")
	var foreign string
	for range 20 {
		foreign = publishAs(p, t, f, "foreign.2")
	}
	publishAs(p, t, f, "x.seen")
	epoch, _, _ := strings.Cut(own, "-")
	// history reads retained events over all transports. The parameter query or the parameter header contains
	// the start position. history returns the topics of the received events, and the gap, if there is one.
	history := func(query, header string) (topics []string, gap *hub.Gap) {
		x := f.do(t, request{hub: p, line: pollNow + "&" + query, token: narrow, header: lines(header)})
		require.Equal(t, http.StatusOK, x.status, query)
		answer, err := decode.DecodePollAnswer([]byte(x.body))
		require.NoError(t, err)
		for _, e := range answer.Events {
			topics = append(topics, e.Topic)
		}
		for _, route := range []string{"GET /sse?", "GET /ws?"} { // must return the same events and gap as the poll
			x := f.start(t, request{hub: p, line: route + query, token: narrow, header: lines(header)})
			require.Equal(t, http.StatusOK, x.status)
			seen, gap := x.untilHeartbeat(t)
			require.Equal(t, topics, seen, "%s%s", route, query)
			require.Equal(t, answer.Gap, gap, "%s%s", route, query)
			x.conn.Close()
		}
		return topics, answer.Gap
	}
	for _, c := range []struct {
		query, header string
		seen          []string
		gap           bool // the token may read some of the removed events
	}{
		{query: "cursor=" + own, seen: []string{"x.seen"}},
		{query: "last=1000", seen: []string{"x.seen"}},
		{query: "topic=x.*&cursor=" + own, seen: []string{"x.seen"}},
		{query: "topic=a.b&cursor=" + own},
		{query: "topic=a.b&last=5"},
		{header: "Last-Event-ID: " + own, seen: []string{"x.seen"}},
		{query: "topic=a.b", header: "Last-Event-ID: " + foreign},
		{query: "cursor=" + first, seen: []string{"x.seen"}, gap: true},
		{query: "topic=a.b&cursor=" + first},
	} {
		topics, gap := history(c.query, c.header)
		require.Equal(t, c.seen, topics, c)
		require.Equal(t, c.gap, gap != nil, c)
		require.True(t, gap == nil || gap.Certain)
	}
	// If the start position is not in this hub's log, the hub may report a gap. The gap must not state that
	// events have certainly expired: that would reveal that retention has removed events which the token may
	// not read.
	for _, other := range []string{"cursor=00000000-1", "cursor=" + epoch + "-0", "since=1h"} {
		topics, gap := history("topic=a.b&"+other, "")
		require.Empty(t, topics, other)
		require.True(t, gap == nil || !gap.Certain || gap.Reason != hub.GapExpired, other)
	}
	for _, query := range []string{"topic=foreign.2&cursor=" + foreign, "topic=foreign.*&last=5", "topic=>&since=1h"} {
		require.Equal(t, http.StatusForbidden, f.do(t, request{hub: p, line: pollNow + "&" + query, token: narrow}).status)
	}
	for _, id := range []string{foreign, "../../etc/passwd", "00000000-1", own + "\t"} {
		x := f.do(t, request{hub: p, line: "GET /sse?topic=foreign.2", token: narrow, header: []string{"Last-Event-ID: " + id}})
		require.Equal(t, http.StatusForbidden, x.status)
	}
}

// lines returns a list with one header line, or an empty list if header is "".
func lines(header string) []string {
	if header == "" {
		return nil
	}
	return []string{header}
}

// untilHeartbeat reads until the first heartbeat, which the hub sends after all retained events. It returns the topics of
// the events, and the gap, if there is one.
func (x *exchange) untilHeartbeat(t *testing.T) (topics []string, gap *hub.Gap) {
	t.Helper()
	for {
		if x.stream == nil {
			m, code, err := x.message()
			require.NoError(t, err)
			require.Zero(t, code)
			switch m.Op {
			case decode.OpHeartbeat:
				return topics, gap
			case decode.OpGap:
				gap = m.Gap
			default:
				topics = append(topics, m.Event.Topic)
			}
			continue
		}
		e, err := x.stream.Next()
		require.NoError(t, err)
		switch e.Type {
		case "trivium.heartbeat":
			return topics, gap
		case "trivium.gap":
			gap, err = decode.DecodeGap([]byte(e.Data))
			require.NoError(t, err)
		default:
			topics = append(topics, e.Topic)
		}
	}
}
