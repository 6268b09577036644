package server

import (
	"maps"
	"slices"
	"sync/atomic"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/build"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/reload"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/stats"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports"
)

// observer collects the statistics of all parts of a server.
type observer struct {
	hub         *hub.Hub
	engine      string
	engineError func() error  // returns the reason why the engine cannot accept events now, or nil if it can
	log         durableEngine // nil: the engine keeps events in memory
	api         *transports.API
	panics      *atomic.Uint64 // number of panics of request handlers
	middleware  *auth.Middleware
	open        *openConnections
	sources     []*source
	// acceptErrors returns the number of Accept errors on all listeners.
	acceptErrors func() uint64
	files        *reload.Watcher
	certificates *certificateExpiry // nil: no TLS
	limits       []settings.Limit
}

// snapshot returns the current statistics.
func (o *observer) snapshot() stats.Snapshot {
	h, api := o.hub.Stats(), o.api.Stats()
	s := stats.Snapshot{
		Version:  build.Current().String(),
		Draining: o.api.IsDraining(),
		Position: h.Position.String(),
		Engine:   stats.Engine{Name: o.engine, Up: o.engineError() == nil, Refused: h.Refused},
		Events: stats.Events{
			Published:      h.Published,
			Erased:         h.Erased,
			Retained:       h.RetainedEvents,
			RetainedBytes:  h.RetainedBytes + api.EncodingBytes,
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
		Subscribed: stats.Subscribed{
			Subscriptions: h.Subscriptions, Feeds: h.Groups, FilterBytes: h.FilterBytes, BatchBytes: h.BatchBytes, SlowBytes: api.SlowBytes,
		},
		Gaps:         h.Gaps,
		Published:    maps.Clone(api.Published),
		Sources:      make(map[string]stats.Source),
		Latency:      latencyStatsOf(h.Latency),
		Certificates: o.certificates.byHost(),
		Files:        o.files.Stats(),
		Access:       o.access(api),
		Transports:   make(map[string]stats.Transport),
	}
	for name, c := range api.Transports {
		t := stats.Transport{
			Connections: c.Connections,
			Opened:      c.Opened,
			Delivered:   c.Delivered,
			Bytes:       c.Bytes,
			Closed:      map[string]uint64{"expelled": c.Unauthorized, "no_room": c.NoEncodingMemory},
		}
		if name != "longpoll" { // these reasons do not apply to a poll, because it gets only one response
			t.Closed["overtaken"] = c.FellBehind
			t.Closed["stuck"] = c.WriteStalled
			t.Closed["cut"] = c.ClosedAtDeadline
		}
		s.Transports[name] = t
	}
	if o.log != nil {
		s.Engine.Log = o.log.logStats()
	}
	for _, source := range o.sources {
		counts := source.stats()
		s.Sources[source.name], s.Published[source.name] = counts, counts.Events
	}
	if u, on := s.Sources["udp"]; on {
		s.UDP = &u
	}
	return s
}

// latencyStatsOf converts a latency histogram of the hub to the form of /stats.
func latencyStatsOf(l hub.Latency) stats.Latency {
	s := stats.Latency{Count: l.Count, Seconds: l.Sum.Seconds(), Buckets: make(map[float64]uint64, len(l.Buckets))}
	total := uint64(0)
	for _, bound := range slices.Sorted(maps.Keys(l.Buckets)) {
		total += l.Buckets[bound] // in Prometheus, the count of a bucket includes all lower buckets
		s.Buckets[bound.Seconds()] = total
	}
	return s
}

// access returns the statistics of connections, requests and refusals.
func (o *observer) access(api transports.Stats) stats.Access {
	g := o.middleware.Stats()
	open := o.open.stats()
	s := stats.Access{
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
