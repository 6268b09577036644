package server

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// newRegistry returns the registry of /metrics: the metrics of the hub, the Go runtime and the process.
func newRegistry(o *observer) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collector{o},
	)
	return registry
}

// collector is a prometheus.Collector that converts the current snapshot to metrics, so that /metrics and /stats report
// the same counters.
type collector struct{ *observer }

// describe returns the description of the metric trivium_name.
func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("trivium_"+name, help, labels, nil)
}

var (
	descEngineUp      = describe("engine_up", "1 while the engine accepts events; 0 while it is unavailable, when publishing and /readyz fail too.")
	descEngineRefused = describe("engine_refused_total", "Events of all sources that the engine did not accept, or did not confirm, because it was unavailable.")
	descPublished     = describe("events_published_total", "Events accepted, from all sources.")
	descErased        = describe("events_erased_total", "Events erased through this hub's admin listener.")
	descRetained      = describe("events_retained", "Events in memory. With a durable engine, trivium_log_events counts the events in its log.")
	descBytes         = describe("retained_bytes", "Bytes of retained events and their encodings, as counted toward --retain-bytes.")
	descTopics        = describe("retained_topics", "Topics of the retained events.")
	descRemoved       = describe("events_removed_total", "Events removed from memory, by the limit that was reached. A durable engine may still have them.", "limit")
	descGapTopics     = describe("gap_topics", "Topics remembered for exact gaps.")
	descKeys          = describe("idempotency_keys", "Idempotency keys remembered.")
	descKeysSpared    = describe("idempotency_keys_spared_total", "CloudEvents requests published without an idempotency key, because the token's share was used up.")
	descSubscribers   = describe("subscriptions", "Subscriptions of all transports.")
	descGroups        = describe("feeds", "Distinct sets of filters subscribed to.")
	descFilterBytes   = describe("filter_bytes", "Memory of the filters of all subscriptions, in bytes. Equal sets count once.")
	descSlow          = describe("slow_bytes", "Bytes of large events that slow connections are still being sent, each event counted once.")
	descGaps          = describe("gaps_total", "Gaps reported to subscribers, by reason.", "reason")
	descDraining      = describe("draining", "1 while the hub drains and accepts no new subscriptions.")
	descConnections   = describe("connections", "Connections with a subscription, by transport.", "transport")
	descDelivered     = describe("events_delivered_total", "Events written to subscribers, by transport.", "transport")
	descClosed        = describe("connections_closed_total",
		"Connections that the hub closed, by reason: overtaken (fell behind retention, with --slow=disconnect), stuck (no write made progress), cut (at the end of a drain), expelled (the token ended or lost the right), or no_room (slow in a large event that retention has removed, and no memory left to keep it).",
		"transport", "reason")
	descTokens       = describe("tokens_in_use", "Tokens with a connection, or used just now.")
	descOpen         = describe("http_connections_open", "Connections without a subscription of their own: requests, publishers, polls, HTTP/2.")
	descIdleClosed   = describe("idle_closed_total", "Idle connections closed early to make room for new ones.")
	descSlowClosed   = describe("slow_closed_total", "Connections with an unfinished request, or a request without a token, closed early to make room for new ones.")
	descAcceptErrors = describe("accept_errors_total", "Connections that could not be accepted, for example for lack of file descriptors.")
	descPanics       = describe("handler_panics_total", "Requests whose handler panicked: a fault of the hub.")
	descReceiving    = describe("receiving_bytes", "Bytes reserved for bodies, lines and WebSocket messages being received.")
	descProblems     = describe("problems_total", "Requests refused, by problem code.", "code")
	descLimited      = describe("limited_total", "Requests, connections and messages refused because of a limit, by limit.", "limit")
	descRefused      = describe("websocket_refused_total", "WebSocket connections closed because of what the client sent, by reason.", "reason")
)

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(c, ch)
}

// emitter sends metrics to the channel of a Collect call.
type emitter chan<- prometheus.Metric

// emit sends one metric.
func (e emitter) emit(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
	e <- prometheus.MustNewConstMetric(d, kind, v, labels...)
}

// counter sends a counter.
func (e emitter) counter(d *prometheus.Desc, v uint64, labels ...string) {
	e.emit(d, prometheus.CounterValue, float64(v), labels...)
}

// gauge sends a gauge.
func (e emitter) gauge(d *prometheus.Desc, v int64, labels ...string) {
	e.emit(d, prometheus.GaugeValue, float64(v), labels...)
}

// boolean sends a gauge of 1 for true or 0 for false.
func (e emitter) boolean(d *prometheus.Desc, v bool) {
	if v {
		e.gauge(d, 1)
	} else {
		e.gauge(d, 0)
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	to := emitter(ch)
	counter, gauge, boolean := to.counter, to.gauge, to.boolean
	s := c.snapshot()
	boolean(descEngineUp, s.Engine.Up)
	counter(descEngineRefused, s.Engine.Refused)
	if s.Engine.Log != nil {
		to.log(s.Engine.Log)
	}
	counter(descPublished, s.Events.Published)
	counter(descErased, s.Events.Erased)
	gauge(descRetained, int64(s.Events.Retained))
	gauge(descBytes, s.Events.RetainedBytes)
	gauge(descTopics, int64(s.Events.RetainedTopics))
	for limit, n := range s.Events.Removed {
		counter(descRemoved, n, limit)
	}
	gauge(descGapTopics, int64(s.Events.GapTopics))
	gauge(descKeys, int64(s.Events.IdempotencyKeys))
	counter(descKeysSpared, s.Events.KeysSpared)
	gauge(descSubscribers, int64(s.Subscribed.Subscriptions))
	gauge(descGroups, int64(s.Subscribed.Feeds))
	gauge(descFilterBytes, int64(s.Subscribed.FilterBytes))
	gauge(descSlow, s.Subscribed.SlowBytes)
	for reason, n := range s.Gaps {
		counter(descGaps, n, string(reason))
	}
	gauge(descTokens, int64(s.Access.Tokens))
	gauge(descOpen, int64(s.Access.Open))
	gauge(descReceiving, s.Access.Receiving)
	counter(descIdleClosed, s.Access.IdleClosed)
	counter(descSlowClosed, s.Access.SlowClosed)
	counter(descAcceptErrors, s.Access.NotAccepted)
	counter(descPanics, s.Access.Panics)
	for code, n := range s.Access.Problems {
		counter(descProblems, n, code)
	}
	for limit, n := range s.Access.Limited {
		counter(descLimited, n, limit)
	}
	for reason, n := range s.Access.WebSocket {
		counter(descRefused, n, reason)
	}
	boolean(descDraining, s.Draining)
	to.setup(c.observer, &s)
	ch <- prometheus.MustNewConstHistogram(descLatency, s.Latency.Count, s.Latency.Seconds, s.Latency.Buckets)
	for source, n := range s.Published {
		counter(descSources, n, source)
	}
	for name, t := range s.Transports {
		gauge(descConnections, t.Connections, name)
		counter(descOpened, t.Opened, name)
		counter(descDelivered, t.Delivered, name)
		counter(descSent, t.Bytes, name)
		for reason, n := range t.Closed {
			counter(descClosed, n, name, reason)
		}
	}
	for _, source := range c.sources {
		counts := s.Sources[source.name]
		counter(source.metrics.datagrams, counts.Datagrams)
		counter(source.metrics.events, counts.Events)
		for reason, n := range counts.Dropped {
			counter(source.metrics.dropped, n, reason)
		}
	}
}
