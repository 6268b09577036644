package websocket_test

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
	"github.com/trivium-hub/trivium/transports/websocket"
)

func filterSet(t *testing.T, filters ...string) hub.FilterSet {
	var set []hub.Filter
	for _, s := range filters {
		f, err := hub.ParseFilter(s)
		require.NoError(t, err)
		set = append(set, f)
	}
	return hub.NewFilterSet(set...)
}

func TestSubscribeCommand(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	c := dial(t, s, "subscribe", "none")
	s.Publish(t, tt.JSON("a", `1`))
	m := exchange(t, c, `{"op":"subscribe","ref":"r","topic":"a"}`)
	require.Equal(t, wire.Message{Op: wire.OpAck, Ref: wire.Ref(`"r"`), ID: s.Hub.Position().String()}, m)
	live := tt.JSON("a", `2`)
	s.Publish(t, tt.JSON("b", `0`), live)
	require.Equal(t, live.ID, message(t, c).Event.ID)

	m = exchange(t, c, `{"op":"subscribe","ref":1.50,"topic":["b","c.*"]}`)
	require.Equal(t, wire.Message{Op: wire.OpAck, Ref: wire.Ref(`1.50`), ID: live.ID.String()}, m)
	require.Equal(t, wire.OpAck, exchange(t, c, `{"op":"unsubscribe","topic":"a"}`).Op)
	other := tt.JSON("c.d", `3`)
	s.Publish(t, tt.JSON("a", `0`), other)
	require.Equal(t, other.ID, message(t, c).Event.ID)
}

// The acknowledgment of a subscribe command contains the start position and arrives before the first
// event.
func TestSubscribeWithStart(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	var events []*hub.Event
	for i := range 5 {
		events = append(events, tt.JSON("a", strconv.Itoa(i)))
	}
	s.Publish(t, events...)
	other := hub.Cursor{Epoch: events[0].ID.Epoch + 1, Seq: 3}.String()
	for name, row := range map[string]struct {
		query  []string
		member string
		id     string
		gap    bool
		first  int
	}{
		"cursor":                    {nil, `"cursor":"` + events[2].ID.String() + `"`, events[2].ID.String(), false, 3},
		"last":                      {nil, `"last":2`, events[2].ID.String(), false, 3},
		"since":                     {nil, `"since":"` + events[1].Time.Format(time.RFC3339Nano) + `"`, events[0].ID.String(), false, 1},
		"gap":                       {nil, `"cursor":"` + other + `"`, other, true, 0},
		"last in the URL":           {[]string{"last", "1"}, ``, events[3].ID.String(), false, 4},
		"foreign cursor in the URL": {[]string{"cursor", other}, ``, other, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, s, append(row.query, "subscribe", "none")...)
			command := `{"op":"subscribe","topic":"a"`
			if row.member != "" {
				command += "," + row.member
			}
			m := exchange(t, c, command+"}")
			require.Equal(t, wire.OpAck, m.Op, "%+v", m)
			require.Equal(t, row.id, m.ID)
			if row.gap {
				require.Equal(t, wire.OpGap, message(t, c).Op)
			}
			for _, e := range events[row.first:] {
				require.Equal(t, e.ID, message(t, c).Event.ID)
			}
			require.Equal(t, wire.OpAck, exchange(t, c, pingCommand).Op, "the hub must not send another event")
		})
	}
}

// If the URL contains a filter twice, one unsubscribe command removes it.
func TestUnsubscribeFilterGivenTwice(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	c := dial(t, s, "topic", "a", "topic", "b", "topic", "a")
	require.Equal(t, wire.OpAck, exchange(t, c, `{"op":"unsubscribe","topic":"a"}`).Op)
	event := tt.JSON("b", `1`)
	s.Publish(t, tt.JSON("a", `0`), event)
	require.Equal(t, event.ID, message(t, c).Event.ID)
}

// If the URL contains no filter, the connection subscribes to all filters that the token grants.
func TestCommandsWithoutTopics(t *testing.T) {
	s := tt.Start(t, tt.Config{Grant: &auth.Grant{Subscribe: filterSet(t, "a", "b", "c.*")}})
	c := dial(t, s)
	require.Equal(t, "cursor", exchange(t, c, `{"op":"subscribe","topic":"a","cursor":"00000000-1"}`).Problem.Parameter, "a connection with topics must refuse a cursor")
	require.Equal(t, wire.OpAck, exchange(t, c, `{"op":"unsubscribe","topic":"a"}`).Op)
	require.Equal(t, wire.OpError, exchange(t, c, `{"op":"unsubscribe","topic":"a"}`).Op)
	require.Equal(t, wire.OpAck, exchange(t, c, `{"op":"subscribe","topic":"c.1"}`).Op)
	event := tt.JSON("c.2", `1`)
	s.Publish(t, tt.JSON("a", `0`), event)
	require.Equal(t, event.ID, message(t, c).Event.ID)
}

// A refused command is answered with an error and changes nothing. The connection stays open.
func TestRefusedCommands(t *testing.T) {
	grant := &auth.Grant{Subject: "s", Subscribe: filterSet(t, "a.>", "b"), Publish: filterSet(t, "p.>")}
	s := tt.Start(t, tt.Config{Grant: grant, MaxTopics: 2})
	c := dial(t, s, "topic", "a.b")
	for _, row := range []struct {
		command   string
		status    int
		parameter string
	}{
		{`nonsense`, 400, "message"},
		{`[]`, 400, "message"},
		{`{"op":"fly"}`, 400, "op"},
		{`{"ref":1}`, 400, "op"},
		{`{"op":"ping","ref":{}}`, 400, "ref"},
		{`{"op":"subscribe"}`, 400, "topic"},
		{`{"op":"subscribe","topic":[]}`, 400, "topic"},
		{`{"op":"subscribe","topic":"a*"}`, 400, "topic"},
		{`{"op":"subscribe","topic":["a.c","a.d"]}`, 400, "topic"},
		{`{"op":"subscribe","topic":["a.b","a.b","a.b"]}`, 400, "topic"},
		{`{"op":"unsubscribe","topic":["a.b","a.b","a.b"]}`, 400, "topic"},
		{`{"op":"unsubscribe","topic":["a.b","a.b"]}`, 400, "topic"},
		{`{"op":"subscribe","topic":"a.c","last":1}`, 400, "last"},
		{`{"op":"subscribe","topic":"a.c","cursor":"x"}`, 400, "cursor"},
		{`{"op":"subscribe","topic":"c"}`, 403, ""},
		{`{"op":"unsubscribe","topic":["a.b","b"]}`, 400, "topic"},
		{`{"op":"publish","topic":"q","data":1}`, 403, ""},
		{`{"op":"publish","topic":"p.*","data":1}`, 400, "topic"},
		{`{"op":"publish","topic":"p.a"}`, 400, "data"},
		{`{"op":"publish","topic":"p.a","type":"open","data":1}`, 400, "type"},
		{`{"op":"auth","token":"bad"}`, 401, ""},
		{`{"op":"auth"}`, 400, "token"},
	} {
		m := exchange(t, c, row.command)
		require.Equal(t, wire.OpError, m.Op, row.command)
		require.Equal(t, row.status, m.Problem.Status, row.command)
		require.Equal(t, row.parameter, m.Problem.Parameter, row.command)
	}
	m := exchange(t, c, `{"op":"unsubscribe","ref":"again","topic":"x"}`)
	require.Equal(t, `"again"`, string(m.Ref))
	event := tt.JSON("a.b", `1`)
	s.Publish(t, tt.JSON("b", `0`), tt.JSON("a.c", `0`), event)
	require.Equal(t, event.ID, message(t, c).Event.ID)

	require.Equal(t, wire.OpAck, exchange(t, c, `{"op":"auth","token":"fresh"}`).Op)
	require.Equal(t, wire.OpAck, exchange(t, c, `{"op":"subscribe","topic":"z"}`).Op, "the new token must grant the filter")
}

func TestPublishCommand(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	reader := dial(t, s)
	c := dial(t, s, "subscribe", "none")
	command := `{"op":"publish","ref":7,"topic":"a","type":"t","key":"k","data": [1.50 , 2],"idempotency_key":"once"}`
	first := exchange(t, c, command)
	require.Equal(t, wire.Message{Op: wire.OpAck, Ref: wire.Ref("7"), ID: s.Hub.Position().String()}, first)
	require.Equal(t, first, exchange(t, c, command), "a repeated command must have the same answer")
	m := exchange(t, c, `{"op":"publish","topic":"a","data":0,"idempotency_key":"once"}`)
	require.Equal(t, 422, m.Problem.Status)
	e := message(t, reader).Event
	require.Equal(t, first.ID, e.ID.String())
	require.Equal(t, `[1.50 , 2]`, string(e.Data))
	require.EqualValues(t, 1, s.Hub.Stats().Published)
}

// A token that grants only publishing can be used for a connection without topics.
func TestPublishOnlyToken(t *testing.T) {
	s := tt.Start(t, tt.Config{Grant: &auth.Grant{Publish: filterSet(t, ">")}})
	c := dial(t, s, "subscribe", "none")
	require.Equal(t, wire.OpAck, exchange(t, c, `{"op":"publish","topic":"a","data":0}`).Op)
	require.Equal(t, 403, exchange(t, c, `{"op":"subscribe","topic":"a"}`).Problem.Status)
	_, err := s.DialSocket(tt.Query(), nil, nil)
	require.ErrorContains(t, err, "403")
}

// TestBadQuery tests invalid values of parameters that only the WebSocket route has.
func TestBadQuery(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	for _, query := range [][]string{{"subscribe", "all"}, {"subscribe", "none", "topic", "a"}, {"subscribe", "none", "subscribe", "none"}} {
		_, err := s.DialSocket(tt.Query(query...), nil, nil)
		var refusal *tt.Refusal
		require.ErrorAs(t, err, &refusal)
		require.Equal(t, 400, refusal.Status)
		require.Equal(t, "subscribe", refusal.Problem.Parameter)
	}
}

// heap returns the size of the live heap, in bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// The memory of a connection is released when the connection is lost or refused.
func TestClosedConnectionsLeaveNoMemory(t *testing.T) {
	s := tt.Start(t, tt.Config{Grant: &auth.Grant{Subscribe: filterSet(t, "a")}})
	for name, connect := range map[string]func(){
		"lost": func() {
			c, err := s.DialSocket(tt.Query(), nil, nil)
			require.NoError(t, err)
			c.Close()
		},
		"refused": func() {
			c, err := s.DialSocket(tt.Query("topic", "b"), http.Header{"Origin": {"https://a.example"}}, nil)
			require.NoError(t, err)
			c.Close()
		},
	} {
		const n = 1000
		before := int64(0)
		for i := range 2 * n {
			if i == n { // the pools are now full
				before = heap()
			}
			connect()
		}
		require.Eventually(t, func() bool { return s.WebSocket.Connections.Load() == 0 }, tt.Patience, time.Millisecond)
		require.Eventually(t, func() bool { return heap()-before < n<<10 }, tt.Patience, 50*time.Millisecond,
			"%s: a closed connection must leave less than 1 KiB", name)
	}
}

// A page in a browser cannot read the HTTP status of a refused handshake. Therefore, if the handshake has
// an Origin, the hub accepts it and sends the error over the WebSocket.
func TestRefusedWithOrigin(t *testing.T) {
	t.Parallel()
	origin := http.Header{"Origin": {"https://a.example"}, "Sec-Websocket-Protocol": {"trivium.v1"}}
	s := tt.Start(t, tt.Config{Grant: &auth.Grant{Subscribe: filterSet(t, "a")}})
	for query, want := range map[string]struct{ status, code int }{
		"b":  {403, 4403},
		"a*": {400, 4400},
	} {
		c, err := s.DialSocket(tt.Query("topic", query), origin, nil)
		require.NoError(t, err)
		require.Equal(t, "trivium.v1", c.Response.Header.Get("Sec-WebSocket-Protocol"))
		require.Equal(t, want.status, message(t, c).Problem.Status)
		_, err = c.Message()
		var ended *tt.Ended
		require.ErrorAs(t, err, &ended)
		require.Equal(t, want.code, ended.Code)
		require.NoError(t, c.Send(closing, ""))
		requireEnd(t, c)
		c.Close()
	}
	go s.Registry.Drain(t.Context(), 4*time.Second)
	<-s.Registry.Draining()
	c, err := s.DialSocket(tt.Query("topic", "a"), origin, nil)
	require.NoError(t, err)
	require.Equal(t, wire.OpGoaway, message(t, c).Op)
	_, err = c.Message()
	require.ErrorContains(t, err, "1001")
	c.Close()
	_, err = s.DialSocket(tt.Query("topic", "a"), nil, nil)
	require.ErrorContains(t, err, "503")
}

// The number of refused connections that stay open for their error message is limited. Above the limit,
// refused requests are answered with an HTTP status.
func TestRejectedConnectionsAreBounded(t *testing.T) {
	s, end := assemble(t, websocket.Config{})
	defer end()
	h := s.handler.(*websocket.Handler)
	h.FillRejected()
	r := httptest.NewRequest(http.MethodGet, "/ws", nil)
	r.Header = http.Header{
		"Origin": {"https://a.example"}, "Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
	}
	w := httptest.NewRecorder()
	h.HandleError(w, r, problems.Forbidden("no"))
	require.Equal(t, http.StatusForbidden, w.Code)
}

func TestSubprotocol(t *testing.T) {
	s := tt.Start(t, tt.Config{})
	for offered, chosen := range map[string]string{"": "", "trivium.v1": "trivium.v1", "TRIVIUM.V1": "", "x, trivium.v1, trivium.bearer.t": "trivium.v1", "x": ""} {
		c, err := s.DialSocket(tt.Query(), http.Header{"Sec-Websocket-Protocol": {offered}}, nil)
		require.NoError(t, err)
		require.Equal(t, chosen, c.Response.Header.Get("Sec-WebSocket-Protocol"))
		c.Close()
	}
}

// A connection without topics does not delay the end of a drain, even if it has an old cursor.
func TestGoawayWithoutTopics(t *testing.T) {
	t.Parallel()
	s := tt.Start(t, tt.Config{})
	s.Publish(t, tt.JSON("a", `1`), tt.JSON("a", `2`))
	position := s.Hub.Position()
	clients := []*tt.Socket{
		dial(t, s, "subscribe", "none"),
		dial(t, s, "subscribe", "none", "cursor", hub.Cursor{Epoch: position.Epoch}.String()),
		dial(t, s, "subscribe", "none", "cursor", hub.Cursor{Epoch: position.Epoch + 1}.String()),
	}
	go s.Registry.DrainSpread(t.Context(), time.Second, tt.Patience)
	for _, c := range clients {
		require.Equal(t, wire.OpGoaway, message(t, c).Op)
		requireClosed(t, c, 1001)
	}
}
