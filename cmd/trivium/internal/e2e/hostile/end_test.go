package hostile

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/decode"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/transports/problems"
)

// endAttacks end or reduce the rights of a token while connections of the token are open, most of them while
// events are published.
var endAttacks = []attack{
	{"renewal of a token while events are published", renewal},
	{"a token that expires while events are published", func(t *testing.T, f *testbed) {
		for life := 6 * time.Second; ; life *= 3 {
			end := time.Now().Add(life)
			token, name := f.jwt(map[string]string{"exp": at(end)}), fmt.Sprint("expired", life)
			if under := f.underLoad(t, name, token, end); under != nil {
				time.Sleep(time.Until(end))
				under.end(t, http.StatusUnauthorized, end)
				return
			}
			t.Logf("the token expired after %v, before events were published and received", life)
		}
	}},
	{"a token that is removed from the tokens file while events are published", func(t *testing.T, f *testbed) {
		f.endUnderLoad(t, "removed", f.tokens["removed"], http.StatusUnauthorized, func() time.Time {
			f.change(t, "removed", func(*tokenEntry) bool { return false })
			return time.Now()
		})
	}},
	{"revocation of one JWT by its ID (jti) while events are published", func(t *testing.T, f *testbed) {
		id := uuid.NewString()
		f.endUnderLoad(t, "revoked", f.jwt(map[string]string{"jti": quoted(id)}), http.StatusUnauthorized, func() time.Time {
			f.revoke(t, id)
			return time.Now()
		})
	}},
	{"a token that loses some of its rights while events are published", func(t *testing.T, f *testbed) {
		f.endUnderLoad(t, "narrowed", f.tokens["narrowed"], http.StatusForbidden, func() time.Time {
			f.change(t, "narrowed", func(e *tokenEntry) bool {
				e.subscribe, e.publish = `"load.narrowed.quiet"`, `"load.narrowed.quiet"`
				return true
			})
			return time.Now()
		})
	}},
	{"a client that has stopped reading when its token loses its rights", unread},
	{"expiry of a token that has many open connections", manyHolders},
}

// load is a publisher that publishes consecutive numbers to a topic, one per millisecond, until it is stopped
// or a publish is refused.
type load struct {
	conn    net.Conn
	reader  *bufio.Reader
	stopped chan struct{}
	ended   chan struct{}
	sent    atomic.Int64
}

func (f *testbed) load(t *testing.T, token, topic string) *load {
	x := f.send(t, f.main.HTTP, "")
	l := &load{conn: x.conn, reader: x.reader, stopped: make(chan struct{}), ended: make(chan struct{})}
	_, err := fmt.Fprintf(l.conn, "POST /publish HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n", f.main.HTTP, token)
	require.NoError(t, err)
	go func() {
		defer close(l.ended)
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for n := 0; ; n++ {
			select {
			case <-l.stopped:
				_, _ = io.WriteString(l.conn, "0\r\n\r\n")
				return
			case <-ticker.C:
			}
			line := fmt.Sprintf(`{"topic":%q,"data":%d}`+"\n", topic, n)
			if _, err := fmt.Fprintf(l.conn, "%x\r\n%s\r\n", len(line), line); err != nil {
				return
			}
			l.sent.Add(1)
		}
	}()
	t.Cleanup(func() { l.conn.Close(); <-l.ended })
	return l
}

// stop stops the publisher and returns the number of published events.
func (l *load) stop(t *testing.T) int {
	close(l.stopped)
	status, body := l.answer(t)
	require.Equal(t, http.StatusOK, status, body)
	var receipt struct{ Count int }
	require.NoError(t, json.Unmarshal([]byte(body), &receipt))
	return receipt.Count
}

func (l *load) answer(t *testing.T) (status int, body string) {
	response, err := http.ReadResponse(l.reader, nil)
	require.NoError(t, err)
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(text)
}

// subscriberLog records the events that a subscriber received, and how its subscription ended.
type subscriberLog struct {
	where     string
	numbers   []int
	status    int // HTTP status of the refusal, or status in the message that ended the subscription; -1: another error
	code      int // close code of a WebSocket
	refusedAt time.Time
	closed    time.Time
	after     int // number of events that arrived after the subscription was ended

	count atomic.Int64 // number of events received so far; the test reads it while the subscriber runs
}

func (h *subscriberLog) event(data string) {
	n, _ := strconv.Atoi(data)
	h.numbers = append(h.numbers, n)
	h.count.Add(1)
	if h.status != 0 {
		h.after++
	}
}

func (h *subscriberLog) refused(status int) {
	if h.status, h.refusedAt = status, time.Now(); status == 0 {
		h.status = -1
	}
}

// subscribeAll starts two subscribers on each transport. It skips a subscriber if the token has
// expired in the meantime. It returns the subscribers and a function that waits until all of them
// are disconnected.
func (f *testbed) subscribeAll(t *testing.T, token, topic string, expires time.Time) (subscribers []*subscriberLog, wait func() []*subscriberLog) {
	var all sync.WaitGroup
	for _, listener := range []func(*subscriberLog, *exchange){readStreamEvents, readSocketEvents} {
		for range 2 {
			route := "GET /sse?topic=" + topic
			if len(subscribers) >= 2 {
				route = "GET /ws?topic=" + topic
			}
			h, x := &subscriberLog{where: route}, f.start(t, request{line: route, token: token})
			if time.Now().After(expires) {
				x.conn.Close()
				continue
			}
			require.Equal(t, http.StatusOK, x.status, x.body)
			subscribers = append(subscribers, h)
			all.Go(func() {
				listener(h, x)
				h.closed = time.Now()
			})
		}
	}
	for _, wait := range []string{"", "&max=1000"} {
		h := &subscriberLog{where: "GET /poll?topic=" + topic + wait}
		subscribers = append(subscribers, h)
		first := f.do(t, request{line: h.where + "&wait=0", token: token})
		all.Go(func() {
			f.readPollEvents(h, token, first.body)
			h.closed = h.refusedAt
		})
	}
	return subscribers, func() []*subscriberLog {
		all.Wait()
		return subscribers
	}
}

func readStreamEvents(h *subscriberLog, x *exchange) {
	for {
		e, err := x.stream.Next()
		switch {
		case err != nil:
			return
		case e.Type == "trivium.error":
			var p problems.Problem
			_ = json.Unmarshal([]byte(e.Data), &p) // if this fails, the status is 0 and the test fails later
			h.refused(p.Status)
		case e.Topic != "":
			h.event(e.Data)
		}
	}
}

// readSocketEvents reads until the hub closes the WebSocket. Like a hostile client, it does not reply
// to the hub's close frame.
func readSocketEvents(h *subscriberLog, x *exchange) {
	for {
		m, code, err := x.message()
		switch {
		case err != nil:
			return
		case code != 0:
			h.code = code
		case m.Op == decode.OpError:
			h.refused(m.Problem.Status)
		case m.Event != nil:
			h.event(string(m.Event.Data))
		}
	}
}

// readPollEvents polls until the hub refuses a poll. It does not call testbed.do, which only the
// goroutine of the test may call.
func (f *testbed) readPollEvents(h *subscriberLog, token, first string) {
	client := &http.Client{Transport: &http.Transport{}, Timeout: hubtest.Patience}
	defer client.CloseIdleConnections()
	_, target, _ := strings.Cut(h.where, " ")
	body := []byte(first)
	for {
		answer, err := decode.DecodePollAnswer(body)
		if err != nil {
			h.refused(0)
			return
		}
		for _, e := range answer.Events {
			h.event(string(e.Data))
		}
		r, err := http.NewRequest(http.MethodGet, "http://"+f.main.HTTP+target+"&cursor="+answer.Cursor, nil)
		if err != nil {
			return
		}
		r.Header.Set("Authorization", "Bearer "+token)
		response, err := client.Do(r)
		if err != nil {
			h.refused(0)
			return
		}
		body, _ = io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			f.refused(string(body))
			h.refused(response.StatusCode)
			return
		}
	}
}

// renewal requires that a WebSocket stays open while the client repeatedly replaces its short-lived
// token by a new one.
func renewal(t *testing.T, f *testbed) {
	x := renewing(t, f)
	for ; x == nil; x = renewing(t, f) {
		t.Log("a renewal was late because the machine was busy; trying again")
	}
	// A renewal with a token that has no right to a subscribed topic is refused.
	require.Equal(t, http.StatusForbidden, f.command(t, x, `{"op":"auth","token":"`+f.tokens["narrow"]+`"}`).Problem.Status)
	// After a renewal, revoking the new token closes the connection, although the old token is
	// still valid.
	id := uuid.NewString()
	require.Equal(t, decode.OpAck, f.command(t, x, `{"op":"auth","token":"`+f.jwt(map[string]string{"jti": quoted(id)})+`"}`).Op)
	f.revoke(t, id)
	h := subscriberLog{}
	readSocketEvents(&h, x)
	require.Equal(t, []int{http.StatusUnauthorized, 4401}, []int{h.status, h.code})
}

// renewing opens a WebSocket and renews its short-lived token many times, while events are published.
// It returns the open WebSocket. It returns nil if a token expired only because the machine was so
// busy that a renewal was late.
func renewing(t *testing.T, f *testbed) *exchange {
	const life = 3 * time.Second
	fresh := func() string {
		return f.jwt(map[string]string{"exp": at(time.Now().Add(life)), "publish": `[]`})
	}
	last, longest := time.Now(), time.Duration(0) // time of the last answer, and longest time between two answers
	x := f.start(t, request{line: "GET /ws?topic=load.renewed", token: fresh()})
	if x.status == http.StatusUnauthorized && time.Since(last) > life/3 {
		return nil
	}
	busy := f.load(t, f.tokens["master"], "load.renewed")
	begin, ended := time.Now(), make(chan struct{})
	go func() {
		defer close(ended)
		for n := 0; n < 40 || time.Since(begin) < 5*life/2; n++ {
			token := fresh()
			if n%5 == 4 { // an invalid token: after the refusal, the previous token stays in use
				token = token[:len(token)-4] + "AAAA"
			}
			if _, err := x.conn.Write(clientFrame(bitFin|opText, []byte(`{"op":"auth","token":"`+token+`","ref":`+strconv.Itoa(n)+`}`))); err != nil {
				return
			}
			time.Sleep(life / 20)
		}
		_, _ = x.conn.Write(clientFrame(bitFin|opText, []byte(`{"op":"auth","token":"`+f.tokens["reader"]+`","ref":"last"}`)))
	}()
	next, renewed, refused, published := 0, 0, 0, -1
	for published < 0 || next < published {
		m, code, err := x.message()
		if m.Op == decode.OpAck || m.Op == decode.OpError || err != nil || code != 0 {
			longest, last = max(longest, time.Since(last)), time.Now()
		}
		if (err != nil || code != 0) && longest > life/3 && published < 0 {
			x.conn.Close()
			busy.stop(t)
			<-ended
			return nil
		}
		require.NoError(t, err)
		require.Zero(t, code)
		switch m.Op {
		case decode.OpAck:
			if renewed++; string(m.Ref) == `"last"` {
				published = busy.stop(t)
			}
		case decode.OpError:
			refused++
			require.Equal(t, http.StatusUnauthorized, m.Problem.Status)
		case "":
			require.Equal(t, strconv.Itoa(next), string(m.Event.Data))
			next++
		}
	}
	<-ended
	require.Greater(t, renewed, 10)
	require.Greater(t, refused, 2)
	return x
}
