package transports

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
	"github.com/trivium-hub/trivium/transports/internal/web"
	"github.com/trivium-hub/trivium/transports/longpoll"
	"github.com/trivium-hub/trivium/transports/problems"
	"github.com/trivium-hub/trivium/transports/publish"
	"github.com/trivium-hub/trivium/transports/sse"
	"github.com/trivium-hub/trivium/transports/websocket"
)

// transport describes a transport over which clients subscribe.
type transport struct {
	name string // name in metrics and in the connection log
	path string
	// newHandler returns the handler of requests, and the function that answers refused requests.
	// Before API.Start, h is nil, and the handler is not used.
	newHandler func(a *API, h *hub.Hub, counters *connection.Counters, log *connection.Log) (http.Handler, Refusal)
}

// transportTable lists all transports.
var transportTable = []transport{
	{"sse", "/sse", newSSE},
	{"websocket", "/ws", newWebSocket},
	{"longpoll", "/poll", newLongPoll},
}

// Paths returns the paths that the API serves. A path that ends with a slash includes all paths below it.
func Paths() []string {
	paths := []string{"/publish", "/publish/", "/session", "/ticket"}
	for _, t := range transportTable {
		paths = append(paths, t.path)
	}
	return paths
}

func newSSE(a *API, h *hub.Hub, counters *connection.Counters, log *connection.Log) (http.Handler, Refusal) {
	cfg := sse.Config{
		Hub: h, Registry: a.registry, Counters: counters, Log: log,
		MaxTopics: a.cfg.MaxTopics, WriteTimeout: a.cfg.WriteTimeout, Disconnect: a.cfg.Disconnect,
		CleanEnd: a.cfg.CleanEnd, CloudEventsSource: a.cfg.CloudEventsSource,
	}
	if h == nil {
		return nil, sse.ErrorHandler(cfg)
	}
	handler := must(sse.New(cfg))
	return handler, handler.HandleError
}

func newWebSocket(a *API, h *hub.Hub, counters *connection.Counters, log *connection.Log) (http.Handler, Refusal) {
	cfg := websocket.Config{
		Hub: h, Registry: a.registry, Counters: counters, Log: log,
		MaxTopics: a.cfg.MaxTopics, WriteTimeout: a.cfg.WriteTimeout, Disconnect: a.cfg.Disconnect,
		MaxMessage: a.cfg.MaxMessageBytes, MessageRate: a.cfg.MaxMessageRate, MaxFragments: a.cfg.MaxMessageFragments,
		MessageTimeout: a.cfg.ReadTimeout, Intake: a.intake.Load(), Published: &a.counters.PublishedWebSocket,
		Refusals: &a.counters.WebSocketRefusals, Compression: a.cfg.Compression, CloudEventsSource: a.cfg.CloudEventsSource,
	}
	if h == nil {
		return nil, websocket.ErrorHandler(cfg)
	}
	handler := must(websocket.New(cfg))
	return handler, handler.HandleError
}

func newLongPoll(a *API, h *hub.Hub, counters *connection.Counters, log *connection.Log) (http.Handler, Refusal) {
	if h == nil {
		return nil, web.WriteProblem
	}
	return must(longpoll.New(longpoll.Config{
		Hub: h, Registry: a.registry, Counters: counters, Log: log,
		MaxTopics: a.cfg.MaxTopics, WriteTimeout: a.cfg.WriteTimeout, CloudEventsSource: a.cfg.CloudEventsSource,
	})), web.WriteProblem
}

// newPublishing returns the handler of /publish and the handler of /publish/{topic}.
func newPublishing(a *API, h *hub.Hub) (envelopes, topic http.Handler) {
	publisher := must(publish.New(publish.Config{
		Hub: h, LineTimeout: a.cfg.ReadTimeout, Intake: a.intake.Load(), Requests: a.publishing,
		Published: &a.counters.PublishedHTTP,
	}))
	return http.HandlerFunc(publisher.ServeEnvelopes), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		topic, err := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), "/publish/"))
		if err != nil {
			web.WriteProblem(w, r, problems.BadParameter("topic", "a % in the path is not followed by two hexadecimal digits"))
			return
		}
		publisher.ServeTopic(w, r, topic)
	})
}

// must returns handler. It panics if err is not nil, which never occurs, because Config.withDefaults has
// checked the configuration.
func must[T any](handler T, err error) T {
	if err != nil {
		panic(err)
	}
	return handler
}
