package server

import (
	"net/http/httptest"
	"reflect"
	"regexp"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"
)

// sampleStats contains a field of each kind that a snapshot may contain.
type sampleStats struct {
	Text    string
	Up      bool   `metric:"up"`
	Level   int    `metric:"level"`
	Free    *int64 `metric:"free_bytes"`
	Unknown *int64 `metric:"unknown_bytes"`
	Events  uint64 `metric:"events_total"`
	Fixed   int    `metric:"replicas" label:"state=current"`
	Alias   *inner `metric:"-"`
	Inner   inner
	ByCode  map[string]uint64    `metric:"problems_total" label:"code"`
	ByHost  map[string]time.Time `metric:"expiry" label:"host"`
	ByName  map[string]inner     `label:"transport"`
	Sources map[string]named     `prefix:"key"`
	NoLabel map[float64]uint64
}

type inner struct {
	Closed map[string]uint64 `metric:"closed_total" label:"reason"`
}

type named struct {
	Open int64 `metric:"open"`
}

// fieldsCollector is a collector that calls collectFields for a struct.
type fieldsCollector struct{ of any }

func (c fieldsCollector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

func (c fieldsCollector) Collect(ch chan<- prometheus.Metric) {
	collectFields(ch, reflect.ValueOf(c.of), position{})
}

func TestFieldsBecomeMetrics(t *testing.T) {
	free := int64(7)
	registry := prometheus.NewRegistry()
	registry.MustRegister(fieldsCollector{sampleStats{
		Text: "a", Up: true, Level: -1, Free: &free, Events: 3, Fixed: 2, Alias: &inner{Closed: map[string]uint64{"x": 1}},
		ByCode:  map[string]uint64{"forbidden": 5, "too-large": 6},
		ByHost:  map[string]time.Time{"a.example": time.Unix(60, 0)},
		ByName:  map[string]inner{"sse": {map[string]uint64{"cut": 4}}},
		Sources: map[string]named{"udp": {8}},
		NoLabel: map[float64]uint64{1: 1},
	}})
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	comments := regexp.MustCompile(`(?m)^# HELP.*\n`)
	require.Equal(t, `# TYPE trivium_closed_total counter
trivium_closed_total{reason="cut",transport="sse"} 4
# TYPE trivium_events_total counter
trivium_events_total 3
# TYPE trivium_expiry gauge
trivium_expiry{host="a.example"} 60
# TYPE trivium_free_bytes gauge
trivium_free_bytes 7
# TYPE trivium_level gauge
trivium_level -1
# TYPE trivium_problems_total counter
trivium_problems_total{code="forbidden"} 5
trivium_problems_total{code="too-large"} 6
# TYPE trivium_replicas gauge
trivium_replicas{state="current"} 2
# TYPE trivium_udp_open gauge
trivium_udp_open 8
# TYPE trivium_up gauge
trivium_up 1
`, comments.ReplaceAllString(w.Body.String(), ""))
}
