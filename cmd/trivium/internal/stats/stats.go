package stats

import (
	"time"

	"github.com/trivium-hub/trivium/hub"
)

// Snapshot is the content of /stats at one moment. A field is also a metric of /metrics if it has these struct tags:
//   - metric: the name of the metric without the prefix trivium_. If it ends in _total, the metric is a counter.
//   - help: the help text of the metric.
//   - label: on a map, the name of a label whose values are the keys of the map. If the values of the map are structs,
//     their metrics get the label too. On another field, name=value adds a label with a constant value.
//   - prefix: on a map, the metrics in the value of a key have the key as a prefix of their names.
type Snapshot struct {
	Version    string                   `json:"version"`
	Draining   bool                     `json:"draining" metric:"draining" help:"1 while the hub drains and accepts no new subscriptions, otherwise 0."`
	Position   string                   `json:"position"`
	Engine     Engine                   `json:"engine"`
	Events     Events                   `json:"events"`
	Subscribed Subscribed               `json:"subscribed"`
	Gaps       map[hub.GapReason]uint64 `json:"gaps" metric:"gaps_total" label:"reason" help:"Gaps reported to subscribers, by reason."`
	Access     Access                   `json:"access"`
	Transports map[string]Transport     `json:"transports" label:"transport"`
	Sources    map[string]Source        `json:"sources,omitempty" prefix:"key"` // sources that have their own socket, by name
	UDP        *Source                  `json:"udp,omitempty" metric:"-"`       // the source udp, which is also in Sources
	// Published counts events published through this hub, by source.
	Published map[string]uint64 `json:"published" metric:"published_total" label:"source" help:"Events published through this hub, by source: http, websocket or udp. Repetitions with the same Idempotency-Key do not count."`
	Latency   Latency           `json:"delivery_latency"`
	// Certificates are the times when the certificates of the main listener expire, by host.
	Certificates map[string]time.Time `json:"certificates,omitempty" metric:"tls_certificate_expiry_timestamp_seconds" label:"host" help:"Time when a certificate of the main listener expires, in seconds since 1970. With --acme, a certificate is included after its first use."`
	Files        map[string]File      `json:"files,omitempty" label:"setting"` // watched files, by setting
}

// Engine describes the engine, which stores the events.
type Engine struct {
	Name    string `json:"name"` // the value of --engine
	Up      bool   `json:"up" metric:"engine_up" help:"1 while the engine accepts events; 0 while it is unavailable, and publishing and /readyz fail."`
	Refused uint64 `json:"refused" metric:"engine_refused_total" help:"Events from all sources that the engine did not accept or did not confirm, because it was unavailable."`

	Log *Log `json:"log,omitempty"` // nil with --engine memory
}

// Log describes the log of a durable engine. The type Events describes the events that are in memory.
type Log struct {
	FirstSeq        uint64            `json:"first_seq" metric:"log_first_seq" help:"Sequence of the oldest event in the durable log."`
	LastSeq         uint64            `json:"last_seq" metric:"log_last_seq" help:"Sequence of the newest event in the durable log."`
	Events          uint64            `json:"events" metric:"log_events" help:"Events in the durable log. trivium_events_retained counts the events in memory."`
	Bytes           uint64            `json:"bytes" metric:"log_bytes" help:"Size of one replica of the durable log in bytes."`
	DiskFree        *int64            `json:"disk_free" metric:"log_disk_free_bytes" help:"Free bytes on the disk of the embedded engine's store."` // free bytes; null: unknown
	Replicas        int               `json:"replicas" metric:"log_replicas" label:"state=configured" help:"Number of replicas of the durable log: configured, and current (running and caught up)."`
	CurrentReplicas int               `json:"current_replicas" metric:"log_replicas" label:"state=current" help:"Number of replicas of the durable log: configured, and current (running and caught up)."`
	Lag             uint64            `json:"lag" metric:"log_lag_events" help:"Events in the durable log that this hub has not received yet."`
	ReplicaDiffers  map[string]uint64 `json:"replica_differs" metric:"log_replica_differs_total" label:"server" help:"Comparisons in which the messages of a NATS server differed from the majority of replicas, by server."`
	ReadFromLeader  uint64            `json:"read_from_leader" metric:"log_read_from_leader_total" help:"Events read from the leader because another replica lacked them."`
	ReadFromOthers  uint64            `json:"read_from_others" metric:"log_read_from_others_total" help:"Events read from another replica because the leader lacked them."`
}

// Events contains counters of events, and describes the events in memory.
type Events struct {
	Published       uint64            `json:"published" metric:"events_published_total" help:"Events accepted, from all sources."`
	Erased          uint64            `json:"erased" metric:"events_erased_total" help:"Events erased through this hub's admin listener."`
	Retained        int               `json:"retained" metric:"events_retained" help:"Events in memory. With a durable engine, trivium_log_events counts the events in its log."`
	RetainedBytes   int64             `json:"retained_bytes" metric:"retained_bytes" help:"Bytes of retained events and their encodings, as counted toward --retain-bytes."`
	RetainedTopics  int               `json:"retained_topics" metric:"retained_topics" help:"Distinct topics of the retained events."`
	Removed         map[string]uint64 `json:"removed" metric:"events_removed_total" label:"limit" help:"Events removed from memory, by the limit that was reached. A durable engine may still have them."`
	GapTopics       int               `json:"gap_topics" metric:"gap_topics" help:"Topics for which gaps are exact."`
	IdempotencyKeys int               `json:"idempotency_keys" metric:"idempotency_keys" help:"Idempotency keys in memory."`
	KeysSpared      uint64            `json:"idempotency_keys_spared" metric:"idempotency_keys_spared_total" help:"CloudEvents requests published without an idempotency key, because the token's share was used up."`
}

// Subscribed describes the subscriptions.
type Subscribed struct {
	Subscriptions int   `json:"subscriptions" metric:"subscriptions" help:"Subscriptions of all transports."`
	Feeds         int   `json:"feeds" metric:"feeds" help:"Distinct sets of filters that are subscribed to."`
	FilterBytes   int   `json:"filter_bytes" metric:"filter_bytes" help:"Memory of the filters of all subscriptions, in bytes. Equal sets count once."`
	BatchBytes    int64 `json:"batch_bytes" metric:"batch_bytes" help:"Memory of batches that several fan-out workers share, in bytes. Above 16 MiB, workers make their own batches."`
	// SlowBytes is the size of the encodings of large events that slow connections have not received completely.
	SlowBytes int64 `json:"slow_bytes" metric:"slow_bytes" help:"Memory of large events that slow connections have not received completely, in bytes. Each event counts once."`
}

// Transport describes the connections of one transport.
type Transport struct {
	Connections int64             `json:"connections" metric:"connections" help:"Connections with a subscription, by transport."`
	Opened      uint64            `json:"opened" metric:"connections_opened_total" help:"Connections with a subscription that were opened, by transport. Each poll counts as one."`
	Delivered   uint64            `json:"delivered" metric:"events_delivered_total" help:"Events written to subscribers, by transport."`
	Bytes       uint64            `json:"bytes" metric:"sent_bytes_total" help:"Bytes written to subscribers, by transport, before TLS. For long-poll, only the bodies of answers count."`
	Closed      map[string]uint64 `json:"closed,omitempty" metric:"connections_closed_total" label:"reason" help:"Connections that the hub closed, by reason: overtaken (fell behind retention, with --slow=disconnect), stuck (no write made progress), cut (at the end of a drain), expelled (the token expired or lost a right), or no_room (the client stopped reading within a large event that retention then removed, and no memory was left to keep it)."`
}

// Access contains counters of connections, requests and refusals.
type Access struct {
	Tokens      int               `json:"tokens" metric:"tokens_in_use" help:"Tokens with a connection, and tokens used recently."`
	Connections int               `json:"connections"` // connections of subscribers that count toward the limits
	Open        int               `json:"open" metric:"http_connections_open" help:"Connections without a subscription of their own: requests, publishers, HTTP/2, and polls that are not parked."`
	Receiving   int64             `json:"receiving" metric:"receiving_bytes" help:"Memory reserved for bodies, lines and WebSocket messages that are being received, in bytes."`
	IdleClosed  uint64            `json:"idle_closed" metric:"idle_closed_total" help:"Idle connections closed early to make room for new ones."`
	SlowClosed  uint64            `json:"slow_closed" metric:"slow_closed_total" help:"Connections with an unfinished request, or a request without a token, closed early to make room for new ones."`
	NotAccepted uint64            `json:"not_accepted" metric:"accept_errors_total" help:"Connections that could not be accepted, for example for lack of file descriptors."`
	Panics      uint64            `json:"panics" metric:"handler_panics_total" help:"Requests whose handler panicked, which is a fault of the hub."`
	Problems    map[string]uint64 `json:"problems" metric:"problems_total" label:"code" help:"Refused requests, by problem code."`
	Limited     map[string]uint64 `json:"limited" metric:"limited_total" label:"limit" help:"Requests, connections and messages refused because of a limit, by limit."`
	WebSocket   map[string]uint64 `json:"websocket" metric:"websocket_refused_total" label:"reason" help:"WebSocket connections closed because of a message that the client sent, by reason."`
}

// Source contains the counters of a source, which receives datagrams on a socket of its own.
type Source struct {
	Datagrams uint64            `json:"datagrams" metric:"datagrams_total" help:"Datagrams received."`
	Events    uint64            `json:"events" metric:"events_total" help:"Events published from datagrams."`
	Dropped   map[string]uint64 `json:"dropped" metric:"dropped_total" label:"reason" help:"Datagrams (reason kernel) and events in datagrams (all other reasons) that were not published, by reason."`
}

// Latency is the histogram of delivery latencies.
type Latency struct {
	Count   uint64             `json:"count"`
	Seconds float64            `json:"seconds"` // sum of all latencies
	Buckets map[float64]uint64 `json:"-"`       // cumulative, by upper bound in seconds
}

// File describes the files of one setting, or of a pair of settings.
type File struct {
	Failures uint64 `json:"failures" metric:"reload_failures_total" help:"Failed attempts to reread a changed file, by the setting of the file. The previous content stayed in use."`
	Failed   bool   `json:"failed" metric:"reload_failed" help:"1 while a changed file is invalid and its previous content is still in use, by setting."`
}
