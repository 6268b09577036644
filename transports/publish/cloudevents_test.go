package publish

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	ceAttributes = `"specversion":"1.0","id":"1","source":"/s","type":"paid"`
	ceEvent      = `{` + ceAttributes + `,"subject":"orders.a","time":"2026-11-28T01:02:03Z","n":5,"data": {"n": 1.50} }`
)

func ceJSON(members string) string { return `{` + ceAttributes + members + `}` }

var (
	asCloudEvent = header("Content-Type", "application/cloudevents+json; charset=utf-8")
	asBatch      = header("Content-Type", "application/cloudevents-batch+json")
)

// ceHeaders returns the headers of a CloudEvent in binary mode. pairs contains the names and values of
// headers that replace the default headers; an empty value removes the header.
func ceHeaders(pairs ...string) http.Header {
	h := header("Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "/s", "Ce-Type", "paid")
	for i := 0; i < len(pairs); i += 2 {
		h.Del(pairs[i])
		if pairs[i+1] != "" {
			h.Add(pairs[i], pairs[i+1])
		}
	}
	return h
}

func ceBatch(n int) string {
	var events []string
	for i := range n {
		events = append(events, fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"/s","type":"t","topic":"orders.a"}`, i))
	}
	return "[" + strings.Join(events, ",") + "]"
}

func manyAttributes(n int) string {
	var members strings.Builder
	for i := range n {
		fmt.Fprintf(&members, `,"a%d":1`, i)
	}
	return members.String()
}

var cloudEventRequests = []struct {
	name      string
	path      string // default: /publish
	header    http.Header
	body      string
	published []string // nil: the request is refused
	status    int      // default: 400
	parameter string
	detail    string
}{
	{name: "structured, topic from subject", header: asCloudEvent, body: " " + ceEvent + "\n", published: []string{"orders.a paid  0:" + ceEvent}},
	{name: "structured, topic from attribute", header: asCloudEvent, body: ceJSON(`,"subject":"orders.a","topic":"orders.b"`),
		published: []string{"orders.b paid  0:" + ceJSON(`,"subject":"orders.a","topic":"orders.b"`)}},
	{name: "structured, topic from query", path: "/publish?topic=orders.q", header: asCloudEvent, body: ceEvent, published: []string{"orders.q paid  0:" + ceEvent}},
	{name: "structured, attribute takes precedence over query", path: "/publish?topic=orders.q", header: asCloudEvent, body: ceJSON(`,"topic":"orders.b"`),
		published: []string{"orders.b paid  0:" + ceJSON(`,"topic":"orders.b"`)}},
	{name: "structured, topic from path", path: "/publish/orders.p", header: asCloudEvent, body: ceJSON(`,"topic":"orders.b"`),
		published: []string{"orders.p paid  0:" + ceJSON(`,"topic":"orders.b"`)}},
	{name: "type and key of the request", path: "/publish/orders.p?type=x&key=k", header: asCloudEvent, body: ceEvent, published: []string{"orders.p x k 0:" + ceEvent}},
	{name: "partitionkey", path: "/publish/orders.p", header: asCloudEvent, body: ceJSON(`,"partitionkey":"17"`),
		published: []string{"orders.p paid 17 0:" + ceJSON(`,"partitionkey":"17"`)}},
	{name: "attributes that are null", path: "/publish/orders.p", header: asCloudEvent, body: ceJSON(`,"subject":null,"time":null,"data_base64":null,"data":null`),
		published: []string{"orders.p paid  0:" + ceJSON(`,"subject":null,"time":null,"data_base64":null,"data":null`)}},
	{name: "extensions of each type", path: "/publish/orders.p", header: asCloudEvent, body: ceJSON(`,"a":"","b":true,"c":-2147483648`),
		published: []string{"orders.p paid  0:" + ceJSON(`,"a":"","b":true,"c":-2147483648`)}},
	{name: "compressed", path: "/publish/orders.p", header: header("Content-Type", "application/cloudevents+json", "Content-Encoding", "gzip"), body: compress(ceEvent),
		published: []string{"orders.p paid  0:" + ceEvent}},
	{name: "batch", header: asBatch, body: "[" + ceEvent + " , " + ceJSON(`,"topic":"orders.b"`) + "]",
		published: []string{"orders.a paid  0:" + ceEvent, "orders.b paid  0:" + ceJSON(`,"topic":"orders.b"`)}},
	{name: "batch to a topic", path: "/publish/orders.p", header: asBatch, body: "[" + ceEvent + "]", published: []string{"orders.p paid  0:" + ceEvent}},

	{name: "binary, JSON", path: "/publish/orders.p", header: ceHeaders("Content-Type", "application/json", "Ce-Partitionkey", "17"), body: ` {"n":1.50} `,
		published: []string{`orders.p paid 17 0:{"id":"1","partitionkey":"17","source":"/s","specversion":"1.0","type":"paid","datacontenttype":"application/json","data":{"n":1.50}}`}},
	{name: "binary, text", path: "/publish", header: ceHeaders("Content-Type", "text/plain", "Ce-Topic", "orders.b", "Ce-X", "%22caf%C3%A9%22 100%"), body: "a\n",
		published: []string{`orders.b paid  0:{"id":"1","source":"/s","specversion":"1.0","topic":"orders.b","type":"paid","x":"%22caf%C3%A9%22 100%","datacontenttype":"text/plain","data":"a\n"}`}},
	{name: "binary, escaped", path: "/publish/orders.p", header: ceHeaders("Content-Type", "text/xml", "Ce-X", `"a \"b\" caf%C3%A9"`), body: "<a/>",
		published: []string{`orders.p paid  0:{"id":"1","source":"/s","specversion":"1.0","type":"paid","x":"a \"b\" café","datacontenttype":"text/xml","data":"<a/>"}`}},
	{name: "binary, an encoded URI", path: "/publish/orders.p", header: ceHeaders("Ce-Source", "/a%2520b"),
		published: []string{`orders.p paid  0:{"id":"1","source":"/a%20b","specversion":"1.0","type":"paid"}`}},
	{name: "binary, a URI that is not encoded", path: "/publish/orders.p", header: ceHeaders("Ce-Source", "/a%20b%2525"),
		published: []string{`orders.p paid  0:{"id":"1","source":"/a%20b%2525","specversion":"1.0","type":"paid"}`}},
	{name: "binary, another JSON type", path: "/publish/orders.p", header: ceHeaders("Content-Type", "application/a+json"), body: "1",
		published: []string{`orders.p paid  0:{"id":"1","source":"/s","specversion":"1.0","type":"paid","datacontenttype":"application/a+json","data_base64":"MQ=="}`}},
	{name: "binary, bytes", path: "/publish/orders.p", header: ceHeaders("Content-Type", "image/png"), body: "\xff",
		published: []string{`orders.p paid  0:{"id":"1","source":"/s","specversion":"1.0","type":"paid","datacontenttype":"image/png","data_base64":"/w=="}`}},
	{name: "binary, another charset", path: "/publish/orders.p", header: ceHeaders("Content-Type", "text/plain; charset=latin1"), body: "\xe9",
		published: []string{`orders.p paid  0:{"id":"1","source":"/s","specversion":"1.0","type":"paid","datacontenttype":"text/plain; charset=latin1","data_base64":"6Q=="}`}},
	{name: "binary, empty body", path: "/publish/orders.p", header: ceHeaders(),
		published: []string{`orders.p paid  0:{"id":"1","source":"/s","specversion":"1.0","type":"paid"}`}},
	{name: "binary, lines", path: "/publish/orders.p", header: ceHeaders("Content-Type", "application/x-ndjson"), body: "1\n2\n",
		published: []string{`orders.p paid  0:{"id":"1","source":"/s","specversion":"1.0","type":"paid","datacontenttype":"application/x-ndjson","data_base64":"MQoyCg=="}`}},
	{name: "binary, type in an attribute", path: "/publish/orders.p", header: ceHeaders("Ce-Datacontenttype", "text/plain"), body: "a",
		published: []string{`orders.p paid  0:{"id":"1","source":"/s","specversion":"1.0","type":"paid","datacontenttype":"text/plain","data":"a"}`}},
	{name: "other headers", path: "/publish/orders.p", header: header("Ce-Foo", "1"), body: "1", published: []string{"orders.p   0:1"}},

	{name: "no topic", header: asCloudEvent, body: ceJSON(`,"subject":"not a topic"`), parameter: "topic", detail: "?topic="},
	{name: "no topic, binary", header: ceHeaders(), parameter: "topic", detail: "extension attribute topic"},
	{name: "a wrong topic in the attribute", header: asCloudEvent, body: ceJSON(`,"subject":"orders.a","topic":"a b"`), parameter: "topic"},
	{name: "a wrong topic in the query", path: "/publish?topic=a*%3E+", header: asCloudEvent, body: ceEvent, parameter: "topic"},
	{name: "two topics in the query", path: "/publish?topic=a&topic=b", header: asCloudEvent, body: ceEvent, parameter: "topic"},
	{name: "no right", path: "/publish?topic=notes", header: asCloudEvent, body: ceEvent, status: 403},
	{name: "no right in the path", path: "/publish/notes", header: ceHeaders(), status: 403},
	{name: "XML", path: "/publish/orders.p", header: header("Content-Type", "application/cloudevents+xml"), body: "<a/>", status: 415, detail: "application/cloudevents+json"},
	{name: "no JSON", header: asCloudEvent, body: "{", parameter: "body"},
	{name: "no object", header: asCloudEvent, body: "[]", parameter: "body"},
	{name: "no id", header: asCloudEvent, body: `{"specversion":"1.0","source":"/s","type":"t"}`, parameter: "id", detail: "missing"},
	{name: "an empty id", header: asCloudEvent, body: `{"specversion":"1.0","source":"/s","type":"t","id":""}`, parameter: "id"},
	{name: "a number as id", header: asCloudEvent, body: `{"specversion":"1.0","source":"/s","type":"t","id":1}`, parameter: "id"},
	{name: "two ids", header: asCloudEvent, body: ceJSON(`,"id":"2"`), parameter: "id", detail: "only once"},
	{name: "no source", header: asCloudEvent, body: `{"specversion":"1.0","id":"1","type":"t"}`, parameter: "source"},
	{name: "a source with a space", header: asCloudEvent, body: `{"specversion":"1.0","id":"1","type":"t","source":"a b"}`, parameter: "source"},
	{name: "a source without a scheme", header: asCloudEvent, body: `{"specversion":"1.0","id":"1","type":"t","source":"1:2"}`, parameter: "source", detail: "scheme"},
	{name: "a source with half an escape", header: asCloudEvent, body: `{"specversion":"1.0","id":"1","type":"t","source":"/a%2"}`, parameter: "source", detail: "%"},
	{name: "no type", header: asCloudEvent, body: `{"specversion":"1.0","id":"1","source":"/s"}`, parameter: "type"},
	{name: "no version", header: asCloudEvent, body: `{"id":"1","source":"/s","type":"t"}`, parameter: "specversion"},
	{name: "version 0.3", header: asCloudEvent, body: `{"specversion":"0.3","id":"1","source":"/s","type":"t"}`, parameter: "specversion", detail: `"0.3"`},
	{name: "a reserved type", path: "/publish/orders.p", header: asCloudEvent, body: `{"specversion":"1.0","id":"1","source":"/s","type":"error"}`, parameter: "type"},
	{name: "the hub's type", path: "/publish/orders.p", header: asCloudEvent, body: `{"specversion":"1.0","id":"1","source":"/s","type":"trivium.gap"}`, parameter: "type"},
	{name: "a long type", path: "/publish/orders.p", header: asCloudEvent, body: `{"specversion":"1.0","id":"1","source":"/s","type":"` + strings.Repeat("t", 129) + `"}`, parameter: "type"},
	{name: "a wrong time", header: asCloudEvent, body: ceJSON(`,"time":"yesterday"`), parameter: "time"},
	{name: "a wrong content type", header: asCloudEvent, body: ceJSON(`,"datacontenttype":"json"`), parameter: "datacontenttype"},
	{name: "bad base64", header: asCloudEvent, body: ceJSON(`,"data_base64":"/w"`), parameter: "data_base64"},
	{name: "data twice", header: asCloudEvent, body: ceJSON(`,"data_base64":"","data":1`), parameter: "data_base64"},
	{name: "an extension that is an object", header: asCloudEvent, body: ceJSON(`,"x":{}`), parameter: "x"},
	{name: "an extension over 32 bits", header: asCloudEvent, body: ceJSON(`,"x":2147483648`), parameter: "x"},
	{name: "a capital letter in a name", header: asCloudEvent, body: ceJSON(`,"traceParent":"x"`), parameter: "traceParent"},
	{name: "too many attributes", header: asCloudEvent, body: ceJSON(manyAttributes(256)), parameter: "body", detail: "256 attributes"},
	{name: "too deep", header: asCloudEvent, body: ceJSON(`,"data":` + strings.Repeat("[", 600) + strings.Repeat("]", 600)), parameter: "body"},
	{name: "too large", path: "/publish/orders.p", header: asCloudEvent, body: ceJSON(`,"data":"` + strings.Repeat("a", ceMaxSize) + `"`), status: 413, parameter: "data"},
	{name: "a batch with an event without an id", header: asBatch, body: "[" + ceEvent + `,{"specversion":"1.0"}]`, parameter: "id", detail: "index 1"},
	{name: "a batch that is a single event", header: asBatch, body: ceEvent, parameter: "body", detail: "array"},
	{name: "an empty batch", header: asBatch, body: "[]", parameter: "body"},
	{name: "a batch of 1001", header: asBatch, body: ceBatch(1001), parameter: "body", detail: "1000"},
	{name: "a batch with an event without a topic", header: asBatch, body: "[" + ceEvent + "," + ceJSON("") + "]", parameter: "topic", detail: "index 1"},
	{name: "a batch with an event without a right", header: asBatch, body: "[" + ceEvent + "," + ceJSON(`,"topic":"notes"`) + "]", status: 403},
	{name: "binary without id", path: "/publish/orders.p", header: ceHeaders("Ce-Id", ""), parameter: "ce-id"},
	{name: "binary without version", path: "/publish/orders.p", header: ceHeaders("Ce-Specversion", ""), parameter: "ce-specversion"},
	{name: "binary, two ids", path: "/publish/orders.p", header: header("Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Id", "2"), parameter: "ce-id"},
	{name: "binary, invalid attribute name", path: "/publish/orders.p", header: ceHeaders("Ce-A-B", "1"), parameter: "ce-a-b"},
	{name: "binary, data in a header", path: "/publish/orders.p", header: ceHeaders("Ce-Data", "1"), parameter: "ce-data"},
	{name: "binary, broken JSON", path: "/publish/orders.p", header: ceHeaders("Content-Type", "application/json"), body: "{", parameter: "body"},
	{name: "binary, two content types", path: "/publish/orders.p", header: ceHeaders("Content-Type", "text/plain", "Ce-Datacontenttype", "text/html"), parameter: "ce-datacontenttype"},
	{name: "binary, wrong content type", path: "/publish/orders.p", header: ceHeaders("Content-Type", "text"), parameter: "Content-Type"},
}

const ceMaxSize = 1000 // bytes

func TestCloudEvents(t *testing.T) {
	f := newFixtureOf(t, 0, ceMaxSize)
	for i, c := range cloudEventRequests {
		t.Run(c.name, func(t *testing.T) {
			f.grant.Subject = fmt.Sprint(i) // separate idempotency keys
			path := c.path
			if path == "" {
				path = "/publish"
			}
			w, problem := f.do(http.MethodPost, path, c.header.Clone(), strings.NewReader(c.body))
			require.Equal(t, c.published, f.published(t))
			if c.published != nil {
				require.Equal(t, http.StatusOK, w.Code, w.Body)
				require.Contains(t, w.Body.String(), fmt.Sprintf(`"count":%d`, len(c.published)))
				return
			}
			status := c.status
			if status == 0 {
				status = http.StatusBadRequest
			}
			require.Equal(t, status, w.Code, w.Body)
			require.Equal(t, c.parameter, problem.Parameter, w.Body)
			require.Contains(t, problem.Detail, c.detail)
		})
	}
}

// If a sender repeats an event, with the same source and id but without an Idempotency-Key, it gets the
// answer to the first request, and the event is not published again.
func TestCloudEventsAreRetried(t *testing.T) {
	f := newFixtureOf(t, 0, ceMaxSize)
	post := func(path string, h http.Header, body string) (int, string) {
		w, problem := f.do(http.MethodPost, path, h.Clone(), strings.NewReader(body))
		if w.Code != http.StatusOK {
			return w.Code, problem.Code
		}
		return w.Code, w.Body.String()
	}
	for _, c := range []struct {
		name, body, other string
		header            http.Header
	}{
		{"structured", ceJSON(""), ceJSON(`,"data":2`), asCloudEvent},
		{"binary", "1", "2", ceHeaders("Ce-Id", "2")},
		{"batch", ceBatch(3), strings.Replace(ceBatch(3), `"t"`, `"u"`, 1), asBatch},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, first := post("/publish/orders.a", c.header, c.body)
			require.Equal(t, http.StatusOK, status, first)
			require.NotEmpty(t, f.published(t))
			_, again := post("/publish/orders.a", c.header, c.body)
			require.Equal(t, first, again)
			require.Empty(t, f.published(t), "the repeated event must not be published again")

			status, code := post("/publish/orders.a", c.header, c.other)
			require.Equal(t, http.StatusUnprocessableEntity, status, "other data with the same source and id must be refused")
			require.Equal(t, "idempotency-key-reused", code)
			require.Empty(t, f.published(t))

			own := c.header.Clone()
			own.Set("Idempotency-Key", c.name)
			status, _ = post("/publish/orders.a", own, c.other)
			require.Equal(t, http.StatusOK, status, "an Idempotency-Key must take precedence over source and id")
			require.NotEmpty(t, f.published(t))
		})
	}
	sender := f.grant.Subject
	f.grant.Subject = "other"
	status, _ := post("/publish/orders.a", asCloudEvent, ceJSON(""))
	require.Equal(t, http.StatusOK, status)
	require.Len(t, f.published(t), 1, "an event of another token with the same source and id must be published")

	// An event that was refused can be sent again.
	f.grant.Subject = sender
	f.engine.left.Store(0)
	status, _ = post("/publish/orders.a", ceHeaders("Ce-Id", "refused"), "1")
	require.Equal(t, http.StatusServiceUnavailable, status)
	f.engine.left.Store(1 << 30)
	status, _ = post("/publish/orders.a", ceHeaders("Ce-Id", "refused"), "1")
	require.Equal(t, http.StatusOK, status)
	require.Len(t, f.published(t), 1)
	require.Zero(t, f.hub.Stats().KeysSpared)
}
