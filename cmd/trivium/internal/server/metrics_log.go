package server

import "github.com/trivium-hub/trivium/cmd/trivium/internal/stats"

// Metrics of a durable engine's log.
var (
	descLogFirst    = describe("log_first_seq", "Sequence of the oldest event in the durable log.")
	descLogLast     = describe("log_last_seq", "Sequence of the newest event in the durable log.")
	descLogEvents   = describe("log_events", "Events in the durable log. trivium_events_retained counts the events in memory.")
	descLogBytes    = describe("log_bytes", "Bytes of one replica of the durable log.")
	descLogFree     = describe("log_disk_free_bytes", "Free bytes on the disk of the embedded engine's store.")
	descLogReplicas = describe("log_replicas", "Replicas of the durable log: configured, and current (running and caught up).", "state")
	descLogLag      = describe("log_lag_events", "Events in the durable log that this hub has not received yet.")
	descLogDiffers  = describe("log_replica_differs_total",
		"Comparisons in which a NATS server had other messages than most servers, by server.", "server")
	descLogFromLeader = describe("log_read_from_leader_total", "Events read from the leader because another replica lacked them.")
	descLogFromOthers = describe("log_read_from_others_total", "Events read from another replica because the leader lacked them.")
)

// log sends the metrics of a durable log.
func (e emitter) log(s *stats.Log) {
	e.gauge(descLogFirst, int64(s.FirstSeq))
	e.gauge(descLogLast, int64(s.LastSeq))
	e.gauge(descLogEvents, int64(s.Events))
	e.gauge(descLogBytes, int64(s.Bytes))
	if s.DiskFree != nil {
		e.gauge(descLogFree, *s.DiskFree)
	}
	e.gauge(descLogReplicas, int64(s.Replicas), "configured")
	e.gauge(descLogReplicas, int64(s.CurrentReplicas), "current")
	e.gauge(descLogLag, int64(s.Lag))
	for server, n := range s.ReplicaDiffers {
		e.counter(descLogDiffers, n, server)
	}
	e.counter(descLogFromLeader, s.ReadFromLeader)
	e.counter(descLogFromOthers, s.ReadFromOthers)
}
