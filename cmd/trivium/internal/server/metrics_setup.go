package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/build"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/stats"
)

// Metrics of the program and its settings.
var (
	descBuild   = describe("build_info", "Always 1. The labels describe the program.", "version", "revision", "goversion")
	descLimit   = describe("limit", "Values of the limits, by setting: counts, bytes or seconds; +Inf is no limit. max-connections is what the open files allow.", "setting")
	descExpiry  = describe("tls_certificate_expiry_timestamp_seconds", "When a certificate of the main listener expires, in seconds since 1970. With --acme, once a client has used it.", "host")
	descReload  = describe("reload_failures_total", "Changed files that could not be used, by the setting that names the file. The previous content stayed in use.", "setting")
	descInvalid = describe("reload_failed", "1 while the content of a file cannot be used and an earlier one is in use, by the setting that names the file.", "setting")
	descLatency = describe("delivery_latency_seconds", "Time from an event's time until it was handed to the connections of a set of filters, one observation for each set and batch of events. Subscribers that are behind read later, which is not included.")
	descSources = describe("published_total", "Events published through this hub, by source: http, websocket or udp. A repeated Idempotency-Key does not count.", "source")
	descOpened  = describe("connections_opened_total", "Connections with a subscription that were opened, by transport. Each poll is one.", "transport")
	descSent    = describe("sent_bytes_total", "Bytes written to subscribers, by transport, before TLS. Of long-poll, the bodies of answers.", "transport")
)

// setup sends the metrics of the program and its settings.
func (e emitter) setup(o *observer, s *stats.Snapshot) {
	b := build.Current()
	e.emit(descBuild, prometheus.GaugeValue, 1, b.Version, b.Revision, b.GoVersion)
	for _, l := range o.limits {
		e.emit(descLimit, prometheus.GaugeValue, l.Value, l.Setting)
	}
	for host, expiry := range s.Certificates {
		e.emit(descExpiry, prometheus.GaugeValue, float64(expiry.Unix()), host)
	}
	for setting, f := range s.Files {
		e.counter(descReload, f.Failures, setting)
		failed := 0.0
		if f.Failed {
			failed = 1
		}
		e.emit(descInvalid, prometheus.GaugeValue, failed, setting)
	}
}
