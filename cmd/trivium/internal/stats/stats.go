package stats

import (
	"time"

	"github.com/trivium-hub/trivium/hub"
)

// Snapshot is the content of /stats at one moment. /metrics shows the same figures.
type Snapshot struct {
	Version    string                   `json:"version"`
	Draining   bool                     `json:"draining"`
	Position   string                   `json:"position"`
	Engine     Engine                   `json:"engine"`
	Events     Events                   `json:"events"`
	Subscribed Subscribed               `json:"subscribed"`
	Gaps       map[hub.GapReason]uint64 `json:"gaps"`
	Access     Access                   `json:"access"`
	Transports map[string]Transport     `json:"transports"`
	Sources    map[string]Source        `json:"sources,omitempty"` // that own a socket, by name
	UDP        *Source                  `json:"udp,omitempty"`     // also in Sources
	// Published counts events published through this hub, by source.
	Published map[string]uint64 `json:"published"`
	Latency   Latency           `json:"delivery_latency"`
	// Certificates are the times when the certificates of the main listener expire, by host.
	Certificates map[string]time.Time `json:"certificates,omitempty"`
	Files        map[string]File      `json:"files,omitempty"` // by the setting that names them
}

// Engine describes the engine.
type Engine struct {
	Name    string `json:"name"` // the value of --engine
	Up      bool   `json:"up"`
	Refused uint64 `json:"refused"` // events that it did not accept or confirm because it was unavailable

	Log *Log `json:"log,omitempty"` // nil with --engine memory
}

// Log describes the log of a durable engine. Events describes the part of the log that is in memory.
type Log struct {
	FirstSeq        uint64            `json:"first_seq"`
	LastSeq         uint64            `json:"last_seq"`
	Events          uint64            `json:"events"`
	Bytes           uint64            `json:"bytes"`     // of one replica
	DiskFree        *int64            `json:"disk_free"` // bytes; null: unknown
	Replicas        int               `json:"replicas"`
	CurrentReplicas int               `json:"current_replicas"`
	Lag             uint64            `json:"lag"` // events not delivered to this hub yet
	ReplicaDiffers  map[string]uint64 `json:"replica_differs"`
	ReadFromLeader  uint64            `json:"read_from_leader"`
	ReadFromOthers  uint64            `json:"read_from_others"`
}

// Events counts events and what is in memory of them.
type Events struct {
	Published       uint64            `json:"published"`
	Erased          uint64            `json:"erased"` // through this hub
	Retained        int               `json:"retained"`
	RetainedBytes   int64             `json:"retained_bytes"`
	RetainedTopics  int               `json:"retained_topics"`
	Removed         map[string]uint64 `json:"removed"` // by the limit that was reached
	GapTopics       int               `json:"gap_topics"`
	IdempotencyKeys int               `json:"idempotency_keys"`
	KeysSpared      uint64            `json:"idempotency_keys_spared"` // CloudEvents published without remembering their source and id
}

// Subscribed counts subscriptions.
type Subscribed struct {
	Subscriptions int `json:"subscriptions"`
	Feeds         int `json:"feeds"`        // subscription groups: distinct filter sets
	FilterBytes   int `json:"filter_bytes"` // memory of the groups' filters
	// SlowBytes is the size of the encodings of large events that slow connections are still being sent.
	SlowBytes int64 `json:"slow_bytes"`
}

// Transport counts the connections of one transport.
type Transport struct {
	Connections int64             `json:"connections"`
	Opened      uint64            `json:"opened"`
	Delivered   uint64            `json:"delivered"`
	Bytes       uint64            `json:"bytes"`
	Closed      map[string]uint64 `json:"closed,omitempty"` // by the hub, by reason
}

// Access counts connections, requests and refusals.
type Access struct {
	Tokens      int               `json:"tokens"`       // in use
	Connections int               `json:"connections"`  // of subscribers, as counted toward the limits
	Open        int               `json:"open"`         // connections without a subscription of their own
	Receiving   int64             `json:"receiving"`    // bytes reserved for requests and messages being received
	IdleClosed  uint64            `json:"idle_closed"`  // idle connections, closed to make room for new ones
	SlowClosed  uint64            `json:"slow_closed"`  // connections with an unfinished request, closed to make room for new ones
	NotAccepted uint64            `json:"not_accepted"` // connections that could not be accepted
	Panics      uint64            `json:"panics"`       // requests whose handler panicked
	Problems    map[string]uint64 `json:"problems"`     // requests refused, by problem code
	Limited     map[string]uint64 `json:"limited"`      // refusals because of a limit, by limit
	WebSocket   map[string]uint64 `json:"websocket"`    // connections closed because of what the client sent, by reason
}

// Source counts what arrived on a source's socket.
type Source struct {
	Datagrams uint64            `json:"datagrams"`
	Events    uint64            `json:"events"`
	Dropped   map[string]uint64 `json:"dropped"`
}

// Latency is the histogram of delivery latencies.
type Latency struct {
	Count   uint64             `json:"count"`
	Seconds float64            `json:"seconds"` // sum
	Buckets map[float64]uint64 `json:"-"`       // cumulative, by upper bound in seconds
}

// File describes the files that one setting, or a pair of settings, names.
type File struct {
	Failures uint64 `json:"failures"` // contents that could not be used
	Failed   bool   `json:"failed"`   // the present content cannot be used
}
