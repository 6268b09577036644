package main

import (
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jetstream"
	"github.com/trivium-hub/trivium/transports"
	"github.com/trivium-hub/trivium/transports/udp"
)

// snapshot is the content of /stats at one moment. /metrics shows the same figures.
type snapshot struct {
	Version    string                       `json:"version"`
	Draining   bool                         `json:"draining"`
	Position   string                       `json:"position"`
	Engine     engineStats                  `json:"engine"`
	Events     eventStats                   `json:"events"`
	Subscribed subscribedStats              `json:"subscribed"`
	Gaps       map[hub.GapReason]uint64     `json:"gaps"`
	Access     accessStats                  `json:"access"`
	Transports map[string]transportSnapshot `json:"transports"`
	UDP        *udpSnapshot                 `json:"udp,omitempty"`
	// Published counts events published through this hub, by source.
	Published map[string]uint64 `json:"published"`
	Latency   latencyStats      `json:"delivery_latency"`
	// Certificates are the times when the certificates of the main listener expire, by host.
	Certificates map[string]time.Time `json:"certificates,omitempty"`
	Files        map[string]fileStats `json:"files,omitempty"` // by the setting that names them

	build build
}

// engineStats describes the engine.
type engineStats struct {
	Name    string `json:"name"` // the value of --engine
	Up      bool   `json:"up"`
	Refused uint64 `json:"refused"` // events that it did not accept or confirm because it was unavailable

	Log *logStats `json:"log,omitempty"` // nil with --engine memory
}

// logStats describes the log of a durable engine. eventStats describes the part of the log that is in memory.
type logStats struct {
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

// logStatsOf converts the statistics of an engine.
func logStatsOf(s jetstream.Stats) *logStats {
	l := &logStats{
		FirstSeq: s.FirstSeq, LastSeq: s.LastSeq, Events: s.Events, Bytes: s.Bytes, Replicas: s.Replicas,
		CurrentReplicas: s.CurrentReplicas, Lag: s.Lag, ReplicaDiffers: s.Differ, ReadFromLeader: s.FromLeader,
		ReadFromOthers: s.FromOthers,
	}
	if s.Free >= 0 {
		l.DiskFree = &s.Free
	}
	return l
}

// eventStats counts events and what is in memory of them.
type eventStats struct {
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

// subscribedStats counts subscriptions.
type subscribedStats struct {
	Subscriptions int `json:"subscriptions"`
	Feeds         int `json:"feeds"`        // subscription groups: distinct filter sets
	FilterBytes   int `json:"filter_bytes"` // memory of the groups' filters
	// SlowBytes is the size of the encodings of large events that slow connections are still being sent.
	SlowBytes int64 `json:"slow_bytes"`
}

// transportSnapshot counts the connections of one transport.
type transportSnapshot struct {
	Connections int64             `json:"connections"`
	Opened      uint64            `json:"opened"`
	Delivered   uint64            `json:"delivered"`
	Bytes       uint64            `json:"bytes"`
	Closed      map[string]uint64 `json:"closed,omitempty"` // by the hub, by reason
}

// accessStats counts connections, requests and refusals.
type accessStats struct {
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

// udpSnapshot counts what arrived by UDP.
type udpSnapshot struct {
	Datagrams uint64            `json:"datagrams"`
	Events    uint64            `json:"events"`
	Dropped   map[string]uint64 `json:"dropped"`
}

// observer collects the statistics of all parts of a server.
type observer struct {
	hub         *hub.Hub
	engine      string
	engineError func() error      // why the engine accepts no events now; nil if it does
	log         *jetstream.Engine // nil: the engine keeps events in memory
	api         *transports.API
	panics      *atomic.Uint64 // of request handlers
	middleware  *auth.Middleware
	open        *openConnections
	udp         *udp.Source // nil: off
	// acceptErrors returns the number of Accept errors on all listeners.
	acceptErrors func() uint64
	files        *watcher
	certificates *certificateExpiry // nil: no TLS
	limits       []limit
}

// snapshot returns the current statistics.
func (o *observer) snapshot() snapshot {
	h, api := o.hub.Stats(), o.api.Stats()
	b := thisBuild()
	s := snapshot{
		build:    b,
		Version:  b.String(),
		Draining: o.api.IsDraining(),
		Position: h.Position.String(),
		Engine:   engineStats{Name: o.engine, Up: o.engineError() == nil, Refused: h.Refused},
		Events: eventStats{
			Published:      h.Published,
			Erased:         h.Erased,
			Retained:       h.RetainedEvents,
			RetainedBytes:  h.RetainedBytes,
			RetainedTopics: h.RetainedTopics,
			Removed: map[string]uint64{
				"count": h.RemovedByCount,
				"bytes": h.RemovedByBytes,
				"age":   h.RemovedByAge,
			},
			GapTopics:       h.GapTopics,
			IdempotencyKeys: h.IdempotencyKeys,
			KeysSpared:      h.KeysSpared,
		},
		Subscribed: subscribedStats{
			Subscriptions: h.Subscriptions, Feeds: h.Groups, FilterBytes: h.FilterBytes, SlowBytes: api.SlowBytes,
		},
		Gaps:         h.Gaps,
		Published:    o.published(api),
		Latency:      latencyStatsOf(h.Latency),
		Certificates: o.certificates.byHost(),
		Files:        o.files.stats(),
		Access:       o.access(api),
		Transports:   make(map[string]transportSnapshot),
	}
	for name, c := range api.Transports {
		t := transportSnapshot{
			Connections: c.Connections,
			Opened:      c.Opened,
			Delivered:   c.Delivered,
			Bytes:       c.Bytes,
			Closed:      map[string]uint64{"expelled": c.Unauthorized, "no_room": c.NoEncodingMemory},
		}
		if name != "longpoll" { // a poll gets one response, so it cannot fall behind or stall
			t.Closed["overtaken"] = c.FellBehind
			t.Closed["stuck"] = c.WriteStalled
			t.Closed["cut"] = c.ClosedAtDeadline
		}
		s.Transports[name] = t
	}
	if o.log != nil {
		s.Engine.Log = logStatsOf(o.log.Stats())
	}
	if o.udp != nil {
		u := o.udp.Stats()
		s.UDP = &udpSnapshot{Datagrams: u.Datagrams, Events: u.Events, Dropped: u.Dropped}
	}
	return s
}

// published returns the events published through this hub, by source.
func (o *observer) published(api transports.Stats) map[string]uint64 {
	by := maps.Clone(api.Published)
	if o.udp != nil {
		by["udp"] = o.udp.Stats().Events
	}
	return by
}

// latencyStatsOf converts a histogram of the hub.
func latencyStatsOf(l hub.Latency) latencyStats {
	s := latencyStats{Count: l.Count, Seconds: l.Sum.Seconds(), buckets: make(map[float64]uint64, len(l.Buckets))}
	total := uint64(0)
	for _, bound := range slices.Sorted(maps.Keys(l.Buckets)) {
		total += l.Buckets[bound] // Prometheus counts all up to the bound
		s.buckets[bound.Seconds()] = total
	}
	return s
}

// access returns the statistics of connections, requests and refusals.
func (o *observer) access(api transports.Stats) accessStats {
	g := o.middleware.Stats()
	open := o.open.stats()
	s := accessStats{
		Tokens:      g.Tokens,
		Connections: g.Connections,
		Open:        open.open,
		IdleClosed:  open.idleClosed,
		SlowClosed:  open.slowClosed,
		NotAccepted: o.acceptErrors(),
		Panics:      o.panics.Load(),
		Problems:    api.Problems,
		WebSocket:   api.WebSocketRefusals,
		Limited:     map[string]uint64{"open_connections": open.refused, "open_connections_per_address": open.refusedAddress},
	}
	s.Receiving = api.Receiving
	for limit, n := range api.ReceivingRefused {
		s.Limited[limit] = n
	}
	for limit, n := range g.Refused {
		s.Limited[string(limit)] = n
	}
	return s
}
