package server

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// newRegistry returns the registry of /metrics: the metrics of the hub, the Go runtime and the process.
func newRegistry(o *observer) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collector{o},
	)
	return registry
}

// collector is a prometheus.Collector that converts the current snapshot to metrics, so that /metrics and /stats report
// the same counters.
type collector struct{ *observer }

// describe returns the description of a metric. It adds the prefix trivium_ to the name.
func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("trivium_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(c, ch)
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := c.snapshot()
	collectFields(ch, reflect.ValueOf(s), position{})
	c.collectSetup(ch)
	ch <- prometheus.MustNewConstHistogram(descLatency, s.Latency.Count, s.Latency.Seconds, s.Latency.Buckets)
}

// position holds the properties of a metric that depend on the place of its field in a snapshot: the
// prefix of its name, and its labels.
type position struct {
	prefix         string // prefix of the name
	labels, values []string
}

// with returns the position with an additional label.
func (p position) with(label, value string) position {
	p.labels, p.values = append(slices.Clip(p.labels), label), append(slices.Clip(p.values), value)
	return p
}

// collectFields sends a metric for each field of a struct whose tags define one; see stats.Snapshot for the tags.
func collectFields(ch chan<- prometheus.Metric, of reflect.Value, at position) {
	for i := range of.NumField() {
		tag, value := of.Type().Field(i).Tag, of.Field(i)
		label, fixed, isFixed := strings.Cut(tag.Get("label"), "=")
		switch prefix := tag.Get("prefix"); {
		case isFixed:
			collectValue(ch, value, tag, at.with(label, fixed))
		case value.Kind() != reflect.Map:
			collectValue(ch, value, tag, at)
		case label != "":
			for key, element := range value.Seq2() {
				collectValue(ch, element, tag, at.with(label, key.String()))
			}
		case prefix != "":
			for key, element := range value.Seq2() {
				below := at
				below.prefix += key.String() + "_"
				collectValue(ch, element, tag, below)
			}
		}
	}
}

// collectValue sends the metric of a field. If the value is a struct, it sends the metrics of the struct's fields.
func collectValue(ch chan<- prometheus.Metric, value reflect.Value, tag reflect.StructTag, at position) {
	name := tag.Get("metric")
	if value.Kind() == reflect.Pointer {
		value = value.Elem() // invalid if it is nil
	}
	if !value.IsValid() || name == "-" {
		return
	}
	_, isTime := value.Interface().(time.Time)
	if value.Kind() == reflect.Struct && !isTime {
		collectFields(ch, value, at)
		return
	}
	if name == "" {
		return
	}
	kind := prometheus.GaugeValue
	if strings.HasSuffix(name, "_total") {
		kind = prometheus.CounterValue
	}
	desc := describe(at.prefix+name, tag.Get("help"), at.labels...)
	ch <- prometheus.MustNewConstMetric(desc, kind, numberOf(value), at.values...)
}

// numberOf converts a value to the number of a metric: a boolean to 1 or 0, and a time to seconds since 1970.
func numberOf(v reflect.Value) float64 {
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		return float64(v.Int())
	case reflect.Uint64:
		return float64(v.Uint())
	case reflect.Bool:
		if v.Bool() {
			return 1
		}
		return 0
	default:
		return float64(v.Interface().(time.Time).Unix())
	}
}
