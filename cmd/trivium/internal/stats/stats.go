package stats

import (
	"time"

	"github.com/trivium-hub/trivium/hub"
)

// Snapshot is the content of /stats at one moment. These struct tags define which fields are also metrics of /metrics:
//   - metric: the name of the metric without the prefix trivium_. If it ends in _total, the metric is a counter.
//   - help: the help text of the metric.
//   - label: on a map, the name of a label whose values are the keys of the map. If the values of the map are structs,
//     their metrics get the label too. On another field, name=value adds a label with a constant value.
//   - prefix: on a map of structs, the names of the metrics in a struct get the struct's key as a prefix.
type Snapshot struct {
	Version    string                   `json:"version"`
	Draining   bool                     `json:"draining" metric:"draining" help:"1 while the hub drains and accepts no new subscriptions, otherwise 0."`
	Position   string                   `json:"position"`
	Engine     Engine                   `json:"engine"`
	Events     Events                   `json:"events"`
	Subscribed Subscribed               `json:"subscribed"`
	Gaps       map[hub.GapReason]uint64 `json:"gaps" metric:"gaps_total" label:"reason" help:"Gaps (missed events) that the hub reported to subscribers, by reason."`
	Access     Access                   `json:"access"`
	Transports map[string]Transport     `json:"transports" label:"transport"`
	Sources    map[string]Source        `json:"sources,omitempty" prefix:"key"` // sources with a socket of their own, by name
	UDP        *Source                  `json:"udp,omitempty" metric:"-"`       // the source udp, also contained in Sources
	// Published counts events published through this hub, by source.
	Published map[string]uint64 `json:"published" metric:"published_total" label:"source" help:"Events published through this hub, by source: http, websocket or udp. A request that repeats an Idempotency-Key does not count again."`
	Latency   Latency           `json:"delivery_latency"`
	// Certificates are the times when the certificates of the main listener expire, by host.
	Certificates map[string]time.Time `json:"certificates,omitempty" metric:"tls_certificate_expiry_timestamp_seconds" label:"host" help:"Time when a certificate of the main listener expires, in seconds since 1970. With --acme, a certificate is included after its first use."`
	Files        map[string]File      `json:"files,omitempty" label:"setting"` // watched files, by setting
}

// Engine describes the engine, which stores the events.
type Engine struct {
	Name    string `json:"name"` // the value of --engine
	Up      bool   `json:"up" metric:"engine_up" help:"1 while the engine accepts events; 0 while it is unavailable. While it is unavailable, publishing and /readyz fail."`
	Refused uint64 `json:"refused" metric:"engine_refused_total" help:"Events, from all sources, that were not published or whose storage was not confirmed, because the engine was unavailable."`

	Log *Log `json:"log,omitempty"` // nil with --engine memory
}

// Log describes the log of a durable engine. The type Events describes the events that are in memory.
type Log struct {
	FirstSeq        uint64            `json:"first_seq" metric:"log_first_seq" help:"Sequence number of the oldest event in the durable log."`
	LastSeq         uint64            `json:"last_seq" metric:"log_last_seq" help:"Sequence number of the newest event in the durable log."`
	Events          uint64            `json:"events" metric:"log_events" help:"Number of events in the durable log. For the events in memory, see trivium_events_retained."`
	Bytes           uint64            `json:"bytes" metric:"log_bytes" help:"Size of one replica of the durable log in bytes."`
	DiskFree        *int64            `json:"disk_free" metric:"log_disk_free_bytes" help:"Free space in bytes on the disk that contains the embedded engine's store."` // null: unknown
	Replicas        int               `json:"replicas" metric:"log_replicas" label:"state=configured" help:"Number of replicas of the durable log: configured, and current (running and caught up)."`
	CurrentReplicas int               `json:"current_replicas" metric:"log_replicas" label:"state=current" help:"Number of replicas of the durable log: configured, and current (running and caught up)."`
	Lag             uint64            `json:"lag" metric:"log_lag_events" help:"Events in the durable log that this hub has not received yet."`
	ReplicaDiffers  map[string]uint64 `json:"replica_differs" metric:"log_replica_differs_total" label:"server" help:"Comparisons of replicas in which the messages of one NATS server differed from those of most replicas, by server."`
	ReadFromLeader  uint64            `json:"read_from_leader" metric:"log_read_from_leader_total" help:"Events that the hub read from the leader of the stream because another replica did not have them."`
	ReadFromOthers  uint64            `json:"read_from_others" metric:"log_read_from_others_total" help:"Events that the hub read from another replica because the leader of the stream did not have them."`
}

// Events contains counters of events, and describes the events in memory.
type Events struct {
	Published       uint64            `json:"published" metric:"events_published_total" help:"Events added to the log, from all sources. In a cluster, events published through other hubs count too."`
	Erased          uint64            `json:"erased" metric:"events_erased_total" help:"Events erased through this hub's admin listener."`
	Retained        int               `json:"retained" metric:"events_retained" help:"Number of events in memory. For the events in the log of a durable engine, see trivium_log_events."`
	RetainedBytes   int64             `json:"retained_bytes" metric:"retained_bytes" help:"Memory of the events in memory and of their encodings, in bytes. It is limited by --retain-bytes."`
	RetainedTopics  int               `json:"retained_topics" metric:"retained_topics" help:"Number of distinct topics of the events in memory."`
	Removed         map[string]uint64 `json:"removed" metric:"events_removed_total" label:"limit" help:"Events removed from memory, by the limit that was reached. The log of a durable engine may still contain them."`
	GapTopics       int               `json:"gap_topics" metric:"gap_topics" help:"Number of topics for which the hub knows exactly up to which position events were removed."`
	IdempotencyKeys int               `json:"idempotency_keys" metric:"idempotency_keys" help:"Number of idempotency keys that the hub stores, to detect repeated requests."`
	KeysSpared      uint64            `json:"idempotency_keys_spared" metric:"idempotency_keys_spared_total" help:"CloudEvents requests whose events were published without an idempotency key, because the token already held half of the keys that it may have."`
}

// Subscribed describes the subscriptions.
type Subscribed struct {
	Subscriptions int   `json:"subscriptions" metric:"subscriptions" help:"Number of current subscriptions, over all transports."`
	Feeds         int   `json:"feeds" metric:"feeds" help:"Number of distinct sets of filters of current subscriptions."`
	FilterBytes   int   `json:"filter_bytes" metric:"filter_bytes" help:"Memory of the filters of all subscriptions, in bytes. Equal sets of filters count once."`
	BatchBytes    int64 `json:"batch_bytes" metric:"batch_bytes" help:"Memory of the batches of events that several fan-out workers share, in bytes. When it reaches 16 MiB, each worker makes its own batches."`
	// SlowBytes is the size of the encodings of large events that slow connections have not received completely.
	SlowBytes int64 `json:"slow_bytes" metric:"slow_bytes" help:"Memory of large events that slow connections have received only in part, in bytes. An event counts once, also if several connections receive it."`
}

// Transport describes the connections of one transport.
type Transport struct {
	Connections int64             `json:"connections" metric:"connections" help:"Number of open connections with a subscription, by transport."`
	Opened      uint64            `json:"opened" metric:"connections_opened_total" help:"Connections with a subscription that were opened, by transport. Each poll counts as one."`
	Delivered   uint64            `json:"delivered" metric:"events_delivered_total" help:"Events written to subscribers, by transport."`
	Bytes       uint64            `json:"bytes" metric:"sent_bytes_total" help:"Bytes written to subscribers, by transport, before TLS. For long-poll, only the bodies of answers count."`
	Closed      map[string]uint64 `json:"closed,omitempty" metric:"connections_closed_total" label:"reason" help:"Connections that the hub closed, by reason: overtaken (the subscriber fell behind retention, with --slow=disconnect), stuck (a write made no progress), cut (the connection was still open at the end of a drain), expelled (the token expired or lost a right), or no_room (the client had received a large event only in part when retention removed the event, and the memory for such events was used up)."`
}

// Access contains counters of connections, requests and refusals.
type Access struct {
	Tokens      int               `json:"tokens" metric:"tokens_in_use" help:"Number of tokens that have an open connection or were used recently."`
	Connections int               `json:"connections"` // connections of subscribers that count toward the limits
	Open        int               `json:"open" metric:"http_connections_open" help:"Number of open connections that net/http serves: connections of publishers and other requests, all HTTP/2 connections, and waiting polls over TLS or on systems other than Linux. Connections of SSE and WebSocket subscribers over HTTP/1.1 do not count."`
	Receiving   int64             `json:"receiving" metric:"receiving_bytes" help:"Memory reserved for bodies, lines and WebSocket messages that are being received, in bytes."`
	IdleClosed  uint64            `json:"idle_closed" metric:"idle_closed_total" help:"Idle connections closed early to make room for new connections."`
	SlowClosed  uint64            `json:"slow_closed" metric:"slow_closed_total" help:"Connections closed early to make room for new connections, while the hub waited for the rest of a request or served a request without a token."`
	NotAccepted uint64            `json:"not_accepted" metric:"accept_errors_total" help:"New connections that could not be accepted, for example because the process may not open more files."`
	Panics      uint64            `json:"panics" metric:"handler_panics_total" help:"Requests whose handler panicked. A panic is a fault of the hub."`
	Problems    map[string]uint64 `json:"problems" metric:"problems_total" label:"code" help:"Refused requests, by problem code."`
	Limited     map[string]uint64 `json:"limited" metric:"limited_total" label:"limit" help:"Requests, connections and messages refused because of a limit, by limit."`
	WebSocket   map[string]uint64 `json:"websocket" metric:"websocket_refused_total" label:"reason" help:"WebSocket connections that the hub closed because it refused a message of the client, by reason."`
}

// Source contains the counters of a source, which receives datagrams on a socket of its own.
type Source struct {
	Datagrams uint64            `json:"datagrams" metric:"datagrams_total" help:"Datagrams received."`
	Events    uint64            `json:"events" metric:"events_total" help:"Events published from datagrams."`
	Dropped   map[string]uint64 `json:"dropped" metric:"dropped_total" label:"reason" help:"Lost input, by reason. The reason kernel counts datagrams that the kernel dropped; all other reasons count events in received datagrams that were not published."`
}

// Latency is the histogram of delivery latencies.
type Latency struct {
	Count   uint64             `json:"count"`
	Seconds float64            `json:"seconds"` // sum of all latencies, in seconds
	Buckets map[float64]uint64 `json:"-"`       // cumulative, by upper bound in seconds
}

// File describes the watched files of one setting, or of a pair of settings such as certificate and key.
type File struct {
	Failures uint64 `json:"failures" metric:"reload_failures_total" help:"Failed attempts to reread a changed file, by the setting that names the file. The previous content stays in use."`
	Failed   bool   `json:"failed" metric:"reload_failed" help:"1 while a changed file is invalid and its previous content is still in use, by the setting that names the file."`
}
