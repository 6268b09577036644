package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/build"
)

// These metrics have no field in stats.Snapshot.
var (
	descBuild   = describe("build_info", "Always 1. The labels describe the program.", "version", "revision", "goversion")
	descLimit   = describe("limit", "Values of the limits, by setting: counts, bytes or seconds; +Inf is no limit. max-connections is lower than the setting if the process may not open that many files.", "setting")
	descLatency = describe("delivery_latency_seconds", "Time from an event's time until it was passed to the connections of a set of filters, one observation for each set and batch of events. Subscribers that are behind read later, which is not included.")
)

// collectSetup sends the metrics of the program and its settings.
func (o *observer) collectSetup(ch chan<- prometheus.Metric) {
	b := build.Current()
	ch <- prometheus.MustNewConstMetric(descBuild, prometheus.GaugeValue, 1, b.Version, b.Revision, b.GoVersion)
	for _, l := range o.limits {
		ch <- prometheus.MustNewConstMetric(descLimit, prometheus.GaugeValue, l.Value, l.Setting)
	}
}
