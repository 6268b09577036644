package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/build"
)

// These metrics have no field in stats.Snapshot.
var (
	descBuild   = describe("build_info", "Always 1. The labels describe the build of the hub.", "version", "revision", "goversion")
	descLimit   = describe("limit", "Values of the limits, by setting: counts, bytes or seconds; +Inf means no limit. max-connections is lower than the setting if the process may not open enough files.", "setting")
	descLatency = describe("delivery_latency_seconds", "Delivery latency: from an event's time until the hub passed it to the connections of its subscribers. There is one observation per batch of events and set of filters. Subscribers that are behind are not included.")
)

// collectSetup sends the metrics that describe the build of the hub and its limits.
func (o *observer) collectSetup(ch chan<- prometheus.Metric) {
	b := build.Current()
	ch <- prometheus.MustNewConstMetric(descBuild, prometheus.GaugeValue, 1, b.Version, b.Revision, b.GoVersion)
	for _, l := range o.limits {
		ch <- prometheus.MustNewConstMetric(descLimit, prometheus.GaugeValue, l.Value, l.Setting)
	}
}
