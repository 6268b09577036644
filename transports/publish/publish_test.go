package publish

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/testkit"
	"github.com/trivium-hub/trivium/transports/internal/intake"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/problems"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const maxEventSize = 100 // bytes

// failingEngine is a memory engine that fails after a number of publishes.
type failingEngine struct {
	hub.Engine
	left  atomic.Int64  // number of publishes that still succeed
	delay time.Duration // duration of a publish on the fake clock
}

func (f *failingEngine) Publish(ctx context.Context, events []*hub.Event) (hub.Cursor, error) {
	time.Sleep(f.delay)
	if f.left.Add(-1) < 0 {
		return hub.Cursor{}, hub.ErrUnavailable
	}
	return f.Engine.Publish(ctx, events)
}

// fixture is a hub with a Handler and a subscription to all events.
type fixture struct {
	hub     *hub.Hub
	engine  *failingEngine
	handler http.Handler
	grant   *auth.Grant // rights of the token
	token   *tt.Token
	sender  string // sender of the next request; "": the token
	intake  *intake.Budget
	all     *hub.Subscription
	wakeup  hub.Wakeup // receives a value when all has new events
}

func newFixture(t *testing.T, timeout time.Duration) *fixture {
	t.Helper()
	return newFixtureOf(t, timeout, maxEventSize)
}

func newFixtureOf(t *testing.T, timeout time.Duration, maxEventSize int) *fixture {
	t.Helper()
	f := &fixture{engine: &failingEngine{Engine: hub.NewMemory()}, wakeup: hub.NewWakeup()}
	f.engine.left.Store(1 << 30)
	var err error
	// Between two calls of f.published, the hub may store a whole queue: 2*MaxEvents events.
	retention := hub.Retention{Events: 5 * MaxEvents}
	f.hub, err = hub.New(hub.Config{Engine: f.engine, Retention: retention, MaxEventSize: maxEventSize})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.hub.Close()) })
	f.all, err = f.hub.Subscribe(hub.Request{Filters: hub.NewFilterSet(hub.Everything)}, f.wakeup)
	require.NoError(t, err)
	t.Cleanup(f.all.Close)
	orders, err := hub.ParseFilter("orders.>")
	require.NoError(t, err)
	f.grant = &auth.Grant{Subject: "tester", Publish: hub.NewFilterSet(orders)}

	f.token = tt.NewToken(f.grant)

	f.intake = intake.New(1)
	t.Cleanup(func() { require.Zero(t, f.intake.Stats().Taken) })
	h := tt.Must(New(Config{Hub: f.hub, LineTimeout: timeout, Intake: f.intake}))
	f.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(auth.WithAccess(r.Context(), senderAccess{f.token, f.sender}))
		if topic, ok := strings.CutPrefix(r.URL.Path, "/publish/"); ok {
			h.ServeTopic(w, r, topic)
			return
		}
		h.ServeEnvelopes(w, r)
	})
	return f
}

// senderAccess is an auth.Access with a given sender.
type senderAccess struct {
	*tt.Token
	sender string
}

func (f senderAccess) Sender() string { return cmp.Or(f.sender, f.Token.Sender()) }

// WaitPublish fails if the context has ended, as the rate limit of a real token does.
func (f senderAccess) WaitPublish(ctx context.Context, events int) (int, error) {
	return events, ctx.Err()
}

// published returns the events that were published since its last call, in the format "topic type key
// encoding:data".
func (f *fixture) published(t require.TestingT) []string {
	var lines []string
	for {
		batch := f.all.Read(hub.ReadLimit{Events: 1000, Bytes: 1 << 20})
		require.Nil(t, batch.Gap)
		for _, e := range batch.Events {
			lines = append(lines, fmt.Sprintf("%s %s %s %d:%s", e.Topic, e.Type, e.Key, e.Encoding, e.Data))
		}
		if !batch.More {
			return lines
		}
	}
}

// do sends a request and returns the answer. If the status is not 200, it also returns the problem in the
// answer.
func (f *fixture) do(method, path string, header http.Header, body io.Reader) (*httptest.ResponseRecorder, problems.Problem) {
	r := httptest.NewRequest(method, path, body)
	for name, lines := range header {
		r.Header[name] = lines
	}
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	var p problems.Problem
	if w.Code != http.StatusOK {
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			panic(err)
		}
	}
	return w, p
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func compress(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}

// good is a valid envelope, and goods is its event in the format of fixture.published.
const (
	good  = `{"topic":"orders.a","type":"paid","key":"k","data": {"n": 1} }`
	goods = "orders.a paid k 0:" + `{"n": 1}`
)

var asJSON = header("Content-Type", "application/json")

func manyEnvelopes(n int) string {
	return "[" + strings.TrimSuffix(strings.Repeat(good+",", n), ",") + "]"
}

// requests contains requests whose results do not depend on time, and their expected results.
var requests = []struct {
	name      string
	method    string // default: POST
	path      string // default: /publish
	header    http.Header
	body      string
	status    int    // default: 200
	parameter string // expected parameter of the problem
	detail    string // expected part of the problem's detail
	count     int
	published []string
}{
	{name: "one envelope", header: asJSON, body: good, count: 1, published: []string{goods}},
	{name: "charset UTF-8", header: header("Content-Type", `Application/JSON; charset="UTF-8"`), body: good, count: 1, published: []string{goods}},
	{name: "Content-Encoding: identity", header: header("Content-Type", "application/json", "Content-Encoding", "identity"), body: good, count: 1, published: []string{goods}},
	{name: "two envelopes", header: asJSON, body: `[` + good + `, {"topic":"orders.b","data":"x","text":true}]`, count: 2, published: []string{goods, "orders.b   1:x"}},
	{name: "base64", header: asJSON, body: `{"topic":"orders.b","data_base64":"/w=="}`, count: 1, published: []string{"orders.b   2:\xff"}},
	{name: "data at the limit, with escapes", header: asJSON, body: `{"topic":"orders.b","text":true,"data":"` + strings.Repeat(`\u0041`, maxEventSize) + `"}`,
		count: 1, published: []string{"orders.b   1:" + strings.Repeat("A", maxEventSize)}},

	{name: "GET", method: "GET", status: 405},
	{name: "PUT to a topic", method: "PUT", path: "/publish/orders.a", status: 405},
	{name: "no Content-Type", body: good, status: 415},
	{name: "a form", header: header("Content-Type", "application/x-www-form-urlencoded"), body: good, status: 415},
	{name: "another charset", header: header("Content-Type", "application/json; charset=latin1"), body: good, status: 415},
	{name: "two Content-Types", header: header("Content-Type", "application/json", "Content-Type", "application/json"), body: good, status: 400, parameter: "Content-Type"},
	{name: "compressed", header: header("Content-Type", "application/json", "Content-Encoding", "gzip"), body: compress(good), count: 1, published: []string{goods}},
	{name: "compressed lines", header: header("Content-Type", "application/x-ndjson", "Content-Encoding", "X-GZip"), body: compress(good + "\n" + good), count: 2, published: []string{goods, goods}},
	{name: "two gzip streams", path: "/publish/orders.a", header: header("Content-Encoding", "identity, gzip"), body: compress("[1,") + compress("2]"), count: 1, published: []string{"orders.a   0:[1,2]"}},
	{name: "compressed empty body", path: "/publish/orders.a", header: header("Content-Encoding", "gzip"), body: compress(""), count: 1, published: []string{"orders.a   1:"}},
	{name: "empty body with Content-Encoding: gzip", path: "/publish/orders.a", header: header("Content-Encoding", "gzip"), count: 1, published: []string{"orders.a   1:"}},
	{name: "uncompressed body with Content-Encoding: gzip", header: header("Content-Type", "application/json", "Content-Encoding", "gzip"), body: good, status: 400, detail: "Content-Encoding: gzip"},
	{name: "compressed, truncated", path: "/publish/orders.a", header: header("Content-Encoding", "gzip"), body: compress(good)[:20], status: 400, detail: "cut off"},
	{name: "compressed, wrong checksum", path: "/publish/orders.a", header: header("Content-Encoding", "gzip"), body: strings.TrimSuffix(compress("1"), "\x00\x00\x00") + "\x01\x00\x00", status: 400, detail: "corrupt"},
	{name: "compressed twice", path: "/publish/orders.a", header: header("Content-Encoding", "gzip, gzip"), body: compress(compress("1")), status: 415, detail: "gzip"},
	{name: "compressed by zstd", header: header("Content-Type", "application/json", "Content-Encoding", "zstd"), body: good, status: 415, detail: "gzip"},
	{name: "compressed over the limit", path: "/publish/orders.a", header: header("Content-Encoding", "gzip"), body: compress(strings.Repeat("a", maxEventSize+bodyOverhead+1)), status: 413, parameter: "body"},
	{name: "compressed data over the limit", path: "/publish/orders.a", header: header("Content-Encoding", "gzip"), body: compress(strings.Repeat("a", maxEventSize+1)), status: 413, parameter: "data"},
	{name: "a compression bomb", header: header("Content-Type", "application/json", "Content-Encoding", "gzip"), body: compress(good + strings.Repeat(" ", 8<<20)), status: 413, parameter: "body", detail: "100 times"},
	{name: "two encodings", path: "/publish/orders.a", header: header("Content-Encoding", "identity", "Content-Encoding", "br"), body: good, status: 415},
	{name: "no body", header: asJSON, status: 400, parameter: "body"},
	{name: "truncated envelope", header: asJSON, body: good[:len(good)-1], status: 400, parameter: "body"},
	{name: "no topic", header: asJSON, body: `{"data":1}`, status: 400, parameter: "topic"},
	{name: "wildcard", header: asJSON, body: `{"topic":"orders.*","data":1}`, status: 400, parameter: "topic"},
	{name: "a topic of the hub", header: asJSON, body: `{"topic":"$sys","data":1}`, status: 400, parameter: "topic"},
	{name: "a type of the hub", header: asJSON, body: `{"topic":"orders.a","type":"trivium.gap","data":1}`, status: 400, parameter: "type"},
	{name: "no right", header: asJSON, body: `{"topic":"secret","data":1}`, status: 403, detail: `"secret"`},
	{name: "an array with an event without a right", header: asJSON, body: `[` + good + `,{"topic":"secret","data":1}]`, status: 403, detail: `"secret"`},
	{name: "an array with an invalid event", header: asJSON, body: `[` + good + `,{"topic":"orders..a","data":1}]`, status: 400, parameter: "topic", detail: "event 2 of 2"},
	{name: "too many envelopes", header: asJSON, body: manyEnvelopes(MaxEvents + 1), status: 400, parameter: "body", detail: "1000"},
	{name: "data over the limit", header: asJSON, body: `{"topic":"orders.a","data":"` + strings.Repeat("a", maxEventSize-1) + `"}`, status: 413, parameter: "data"},
	{name: "body over the limit", header: asJSON, body: good + strings.Repeat(" ", minMaxBody), status: 413, parameter: "body"},

	{name: "empty key", header: header("Content-Type", "application/json", "Idempotency-Key", ""), body: good, status: 400, parameter: "Idempotency-Key"},
	{name: "long key", header: header("Content-Type", "application/json", "Idempotency-Key", strings.Repeat("k", 129)), body: good, status: 400, parameter: "Idempotency-Key"},
	{name: "two keys", path: "/publish/orders.a", header: header("Idempotency-Key", "k", "Idempotency-Key", "k"), body: good, status: 400, parameter: "Idempotency-Key"},
	{name: "longest key", header: header("Content-Type", "application/json", "Idempotency-Key", strings.Repeat("\"~ \u00e9", 25)+"abc"), body: good, count: 1, published: []string{goods}},
	{name: "idempotency key with lines", header: header("Content-Type", "application/x-ndjson", "Idempotency-Key", "k"), body: good, status: 400, parameter: "Idempotency-Key"},

	{name: "topic: JSON", path: "/publish/orders.a", body: " [1] \n", count: 1, published: []string{"orders.a   0:[1]"}},
	{name: "topic: text", path: "/publish/orders.a", body: " hello\n", count: 1, published: []string{"orders.a   1: hello\n"}},
	{name: "topic: binary", path: "/publish/orders.a", body: "\xff", count: 1, published: []string{"orders.a   2:\xff"}},
	{name: "topic: empty body", path: "/publish/orders.a", count: 1, published: []string{"orders.a   1:"}},
	{name: "topic: type and key", path: "/publish/orders.a", header: header("Trivium-Type", "gr\u00fc\u00df", "Trivium-Key", "a b", "Content-Type", "text/plain"), body: "1",
		count: 1, published: []string{"orders.a gr\u00fc\u00df a b 1:1"}},
	{name: "topic: largest data with white space around it", path: "/publish/orders.a", body: strings.Repeat(" ", 1000) + `"` + strings.Repeat("a", maxEventSize-2) + `"`,
		count: 1, published: []string{`orders.a   0:"` + strings.Repeat("a", maxEventSize-2) + `"`}},
	{name: "topic: a form, as curl -d sends it", path: "/publish/orders.a", header: header("Content-Type", "application/x-www-form-urlencoded"), body: `{"a":1}`,
		count: 1, published: []string{`orders.a   0:{"a":1}`}},
	{name: "topic: a form of text", path: "/publish/orders.a", header: header("Content-Type", "application/x-www-form-urlencoded"), body: "a=1&b=2",
		count: 1, published: []string{"orders.a   1:a=1&b=2"}},
	{name: "topic: a JSON type", path: "/publish/orders.a", header: header("Content-Type", "application/vnd.github+json; charset=utf-8"), body: `{"a":1}`,
		count: 1, published: []string{`orders.a   0:{"a":1}`}},
	{name: "topic: invalid data of a JSON type", path: "/publish/orders.a", header: header("Content-Type", "application/vnd.github+json"), body: "{", status: 400, parameter: "body"},
	{name: "topic: type and key in the query", path: "/publish/orders.a?type=paid&key=a%20b&end=true&x=1", body: "1", count: 1, published: []string{"orders.a paid a b 0:1"}},
	{name: "topic: the header takes precedence over the query", path: "/publish/orders.a?type=query&key=query", header: header("Trivium-Type", "header", "Trivium-Key", ""), body: "1",
		count: 1, published: []string{"orders.a header query 0:1"}},
	{name: "topic: two types in the query", path: "/publish/orders.a?type=a&type=a", body: "1", status: 400, parameter: "type"},
	{name: "topic: two keys in the query", path: "/publish/orders.a?key=a&key=b", body: "1", status: 400, parameter: "key"},
	{name: "topic: long key in the query", path: "/publish/orders.a?key=" + strings.Repeat("k", 129), body: "1", status: 400, parameter: "key"},
	{name: "topic: invalid query", path: "/publish/orders.a?type=%zz", body: "1", status: 400, detail: "hexadecimal"},
	{name: "topic: lines", path: "/publish/orders.a?key=k", header: header("Content-Type", "application/x-ndjson", "Trivium-Type", "t"), body: "1\n\n {\"a\": 2} \r\n\"3\"",
		count: 3, published: []string{"orders.a t k 0:1", `orders.a t k 0:{"a": 2}`, `orders.a t k 0:"3"`}},
	{name: "topic: no lines", path: "/publish/orders.a", header: asLines, count: 0},
	{name: "topic: idempotency key with lines", path: "/publish/orders.a", header: header("Content-Type", "application/x-ndjson", "Idempotency-Key", "k"), body: "1", status: 400, parameter: "Idempotency-Key"},
	{name: "topic: lines in another charset", path: "/publish/orders.a", header: header("Content-Type", "application/x-ndjson; charset=utf-16"), body: "1", status: 415},
	{name: "topic: lines without a right", path: "/publish/secret", header: asLines, body: "1", status: 403, detail: `"secret"`},
	{name: "topic: UTF-16", path: "/publish/orders.a", header: header("Content-Type", "text/plain; charset=UTF-16LE"), body: "g\x00r\x00\xfc\x00\xdf\x00=\xd8\x00\xde",
		count: 1, published: []string{"orders.a   1:gr\u00fc\u00df\U0001f600"}},
	{name: "topic: JSON in UTF-16", path: "/publish/orders.a", header: header("Content-Type", "application/json; charset=utf-16"), body: "\xfe\xff\x00[\x001\x00]",
		count: 1, published: []string{"orders.a   0:[1]"}},
	{name: "topic: UTF-16 without a byte order mark", path: "/publish/orders.a", header: header("Content-Type", "text/plain; charset=utf-16"), body: "\x00a", status: 400, parameter: "body", detail: "byte order mark"},
	{name: "topic: UTF-16 with an odd number of bytes", path: "/publish/orders.a", header: header("Content-Type", "text/plain; charset=utf-16be"), body: "\x00a\x00", status: 400, parameter: "body", detail: "even number of bytes"},
	{name: "topic: UTF-16 with an unpaired surrogate", path: "/publish/orders.a", header: header("Content-Type", "text/plain; charset=utf-16be"), body: "\xd8\x3d\x00a", status: 400, parameter: "body", detail: "an unpaired surrogate"},
	{name: "topic: Latin-1", path: "/publish/orders.a", header: header("Content-Type", "text/plain; charset=iso-8859-1"), body: "gr\xfc\xdf",
		count: 1, published: []string{"orders.a   1:gr\u00fc\u00df"}},
	{name: "topic: ASCII text in another charset", path: "/publish/orders.a", header: header("Content-Type", "text/plain; charset=windows-1252"), body: "plain\n",
		count: 1, published: []string{"orders.a   1:plain\n"}},
	{name: "topic: another charset", path: "/publish/orders.a", header: header("Content-Type", "text/plain; charset=windows-1252"), body: "\x80", status: 415, detail: "UTF-16LE"},
	{name: "topic: UTF-32", path: "/publish/orders.a", header: header("Content-Type", "text/plain; charset=utf-32be"), body: "\x00\x00\x00a", status: 415},
	{name: "topic: an invalid charset parameter", path: "/publish/orders.a", header: header("Content-Type", `text/plain; charset="utf-16`), body: "a", status: 400, parameter: "Content-Type"},
	{name: "topic: binary data with a charset", path: "/publish/orders.a", header: header("Content-Type", "image/svg; charset=utf-16"), body: "a\x00", count: 1, published: []string{"orders.a   2:a\x00"}},
	{name: "topic: invalid JSON", path: "/publish/orders.a", header: asJSON, body: "{", status: 400, parameter: "body"},
	{name: "topic: text that is not UTF-8", path: "/publish/orders.a", header: header("Content-Type", "text/plain"), body: "\xff", status: 400, parameter: "body"},
	{name: "topic: two types", path: "/publish/orders.a", header: header("Trivium-Type", "a", "Trivium-Type", "b"), status: 400, parameter: "Trivium-Type"},
	{name: "topic: two keys", path: "/publish/orders.a", header: header("Trivium-Key", "a", "Trivium-Key", "b"), status: 400, parameter: "Trivium-Key"},
	{name: "topic: type not UTF-8", path: "/publish/orders.a", header: header("Trivium-Type", "\xff"), status: 400, parameter: "type"},
	{name: "topic: long key", path: "/publish/orders.a", header: header("Trivium-Key", strings.Repeat("k", 129)), status: 400, parameter: "key"},
	{name: "topic: invalid", path: "/publish/orders..a", status: 400, parameter: "topic"},
	{name: "topic: empty", path: "/publish/", status: 400, parameter: "topic"},
	{name: "topic: no right", path: "/publish/secret", status: 403, detail: `"secret"`},
	{name: "topic: data over the limit", path: "/publish/orders.a", body: strings.Repeat("\xff", maxEventSize+1), status: 413, parameter: "data"},
	{name: "topic: body over the limit", path: "/publish/orders.a", body: strings.Repeat("\xff", maxEventSize+bodyOverhead+1), status: 413, parameter: "body"},
}

func TestRequests(t *testing.T) {
	f := newFixture(t, 0)
	for _, c := range requests {
		t.Run(c.name, func(t *testing.T) {
			method, path, status := c.method, c.path, c.status
			if method == "" {
				method = http.MethodPost
			}
			if path == "" {
				path = "/publish"
			}
			if status == 0 {
				status = http.StatusOK
			}
			// Without a Content-Length, the size limit is checked while the body is read.
			for _, body := range []io.Reader{strings.NewReader(c.body), io.MultiReader(strings.NewReader(c.body))} {
				w, problem := f.do(method, path, c.header, body)
				require.Equal(t, status, w.Code, w.Body)
				require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
				require.Equal(t, c.published, f.published(t))
				if status != http.StatusOK {
					require.Equal(t, c.parameter, problem.Parameter, problem.Detail)
					require.Contains(t, problem.Detail, c.detail)
					require.Nil(t, problem.Line)
					require.Equal(t, status == 405, w.Header().Get("Allow") == "POST")
				} else {
					require.Equal(t, "application/json", w.Header().Get("Content-Type"))
					require.Equal(t, fmt.Sprintf(`{"id":"%s","count":%d}`+"\n", f.hub.Position(), c.count), w.Body.String())
				}
				if c.header.Get("Idempotency-Key") != "" {
					return // TestIdempotency tests repeated keys
				}
			}
		})
	}

	w, _ := f.do("POST", "/publish", asJSON, strings.NewReader(manyEnvelopes(MaxEvents)))
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.Len(t, f.published(t), MaxEvents)
}

func TestIdempotency(t *testing.T) {
	f := newFixture(t, 0)
	key := header("Content-Type", "application/json", "Idempotency-Key", "k")
	first, _ := f.do("POST", "/publish", key, strings.NewReader("["+good+","+good+"]"))
	require.Equal(t, http.StatusOK, first.Code)
	require.Len(t, f.published(t), 2)

	again, _ := f.do("POST", "/publish", key, strings.NewReader("["+good+","+good+"]"))
	require.Equal(t, first.Body.String(), again.Body.String())
	_, problem := f.do("POST", "/publish", key, strings.NewReader(good))
	require.Equal(t, http.StatusUnprocessableEntity, problem.Status)
	f.grant.Subject = "another"
	_, problem = f.do("POST", "/publish/secret", key, strings.NewReader("1"))
	require.Equal(t, http.StatusForbidden, problem.Status)
	require.Empty(t, f.published(t))

	other, _ := f.do("POST", "/publish/orders.a", key, strings.NewReader("1"))
	require.Equal(t, http.StatusOK, other.Code, "different subjects may use the same key")
	require.Len(t, f.published(t), 1)
}

func TestRefusedByTheHub(t *testing.T) {
	f := newFixture(t, 0)
	key := header("Content-Type", "application/json", "Idempotency-Key", "k")
	f.engine.left.Store(0)
	for _, h := range []http.Header{asJSON, key} {
		w, problem := f.do("POST", "/publish", h, strings.NewReader(good))
		require.Equal(t, http.StatusServiceUnavailable, problem.Status)
		require.NotEmpty(t, w.Header().Get("Retry-After"))
	}
	f.engine.left.Store(1)
	w, _ := f.do("POST", "/publish", key, strings.NewReader(good))
	require.Equal(t, http.StatusOK, w.Code, "a failed publish must not use up its key")

	require.NoError(t, f.hub.Close())
	f.engine.left.Store(1)
	w, problem := f.do("POST", "/publish/orders.a", nil, strings.NewReader("1"))
	require.Equal(t, http.StatusServiceUnavailable, problem.Status)
	require.NotEmpty(t, w.Header().Get("Retry-After"))

	f.token.SetGrant(nil)
	for _, path := range []string{"/publish", "/publish/orders.a"} {
		_, problem = f.do("POST", path, key, strings.NewReader(good))
		require.Equal(t, http.StatusUnauthorized, problem.Status, "a token that was revoked must be refused")
	}
}

// FuzzBody tests that no body causes an internal error, and that exactly the events that the answer
// reports as accepted are published.
func FuzzBody(f *testing.F) {
	for _, c := range requests {
		if len(c.body) < 1000 {
			f.Add([]byte(c.body), c.header.Get("Content-Type"))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		fix := newFixture(t, 0)
		for _, path := range []string{"/publish", "/publish/orders.a"} {
			w, problem := fix.do("POST", path, header("Content-Type", contentType), bytes.NewReader(body))
			require.Less(t, w.Code, 500)
			events := fix.published(t)
			if w.Code == http.StatusOK {
				require.Contains(t, w.Body.String(), fmt.Sprintf(`"count":%d}`, len(events)))
			} else if problem.Accepted == nil {
				require.Empty(t, events)
			} else {
				require.Len(t, events, *problem.Accepted)
			}
		}
	})
}
