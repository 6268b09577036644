package main

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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

// limit is a limit of the settings; +Inf is none.
type limit struct {
	setting string
	value   float64
}

// limits returns the values of all settings that limit something, by the name of the flag.
func (c *ServeConfig) limits() []limit {
	orInf := func(n int64) float64 {
		if n == 0 {
			return math.Inf(1)
		}
		return float64(n)
	}
	seconds := func(d time.Duration) float64 {
		if d == 0 {
			return math.Inf(1)
		}
		return d.Seconds()
	}
	return []limit{
		{"max-connections", orInf(int64(c.connections().Total))},
		{"max-connections-per-token", orInf(int64(c.MaxConnectionsPerToken.of(c.connections().Total)))},
		{"max-connections-per-address", orInf(int64(c.MaxConnectionsPerAddress))},
		{"max-connect-rate", orInf(int64(c.MaxConnectRate))},
		{"max-publish-rate", orInf(int64(c.MaxPublishRate))},
		{"max-filter-bytes", orInf(int64(c.MaxFilterBytes))},
		{"max-filter-bytes-per-token", orInf(int64(c.MaxFilterBytesPerToken))},
		{"max-topics", orInf(int64(c.MaxTopics))},
		{"max-event-bytes", orInf(int64(c.MaxEventBytes))},
		{"max-header-bytes", orInf(int64(c.MaxHeaderBytes))},
		{"read-timeout", seconds(c.ReadTimeout)},
		{"max-message-bytes", float64(c.MaxMessageBytes)},
		{"max-message-rate", float64(c.MaxMessageRate)},
		{"max-message-fragments", float64(c.MaxMessageFragments)},
		{"write-timeout", c.WriteTimeout.Seconds()},
		{"retain-events", float64(c.RetainEvents)},
		{"retain-bytes", float64(c.RetainBytes)},
		{"retain-age", c.RetainAge.Seconds()},
		{"gap-topics", float64(c.GapTopics)},
	}
}

// setup sends the metrics of the program and its settings.
func (e emitter) setup(o *observer, s *stats.Snapshot) {
	b := thisBuild()
	e.emit(descBuild, prometheus.GaugeValue, 1, b.version, b.revision, b.goVersion)
	for _, l := range o.limits {
		e.emit(descLimit, prometheus.GaugeValue, l.value, l.setting)
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
