package bench

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestGoals checks, for results with given measured values, how many goals apply, how many of these goals are
// met, and that the report contains a row for each goal.
func TestGoals(t *testing.T) {
	results := func(ratio float64) []*Result {
		var all []*Result
		for _, s := range goalSpecs(&Config{}) {
			require.Contains(t, append(over[s.scenario], ""), s.transport)
			if s.scenario == Ingest {
				s.transport = inProcess
			}
			r := s.result()
			r.CPURatio, r.P99Ratio, r.CaughtUpSeconds = ratio, ratio, ratio
			r.Hub = &Figures{CPUPerDelivery: ratio, P99: 1, CPUSeconds: 1}
			r.Memory = &Memory{Connected: ratio, AfterTraffic: ratio * 1024, RestCPU: ratio / 100}
			all = append(all, r)
		}
		return all
	}
	for _, tt := range []struct {
		ratio float64
		met   int
	}{{0.1, 29}, {1.2, 29 - 2 - 3 - 1}, {100, 3 + 2}, {0, 29 - 3 - 4 - 2 - 2 - 2 - 2}} {
		goals := evaluateGoals(results(tt.ratio), true)
		require.Len(t, goals, 29)
		met := 0
		for _, g := range goals {
			if g.Met {
				met++
			}
		}
		require.Equal(t, tt.met, met, "%g: %+v", tt.ratio, goals)
	}
	for _, engine := range []string{EngineEmbedded, EngineNATS} {
		for _, tt := range []struct{ fanout, rate, met float64 }{{1.1, 0.7, 4}, {1.11, 0.7, 1}, {1.1, 0.69, 3}, {0, 0, 0}} {
			met := 0.0
			var all []*Result
			for _, s := range goalSpecs(&Config{Engine: engine}) {
				r := s.result()
				r.FanoutRatio, r.RateRatio = tt.fanout, tt.rate
				all = append(all, r)
			}
			goals := evaluateGoals(all, true)
			require.Len(t, goals, 4)
			for _, g := range goals {
				if g.Met {
					met++
				}
			}
			require.Equal(t, tt.met, met, "%+v", goals)
		}
	}
	for _, tt := range []struct {
		delay, rate float64
		goals, met  int
	}{{0, 1, 0, 0}, {1, 50_000, 1, 1}, {1, 49_999, 1, 0}, {100, 10_000, 1, 1}, {100, 9_999, 1, 0}} {
		r := &Result{Scenario: Replay, Engine: EngineNATS, Delay: tt.delay, Hub: &Figures{DeliveriesPerSecond: tt.rate}}
		goals := evaluateGoals([]*Result{r}, true)
		require.Len(t, goals, tt.goals)
		for _, g := range goals {
			require.Equal(t, tt.met == 1, g.Met, "%+v", g)
		}
	}
	for _, tt := range []struct {
		transport string
		goals     int
	}{{singleHTTP, 1}, {"udp", 0}} {
		r := &Result{Scenario: Ingest, Engine: EngineEmbedded, Transport: tt.transport, Hub: &Figures{CPUPerDelivery: 201}}
		goals := evaluateGoals([]*Result{r}, true)
		require.Len(t, goals, tt.goals)
		for _, g := range goals {
			require.False(t, g.Met)
		}
	}
	for _, tt := range []struct {
		result     Result
		goals, met int
	}{
		{Result{Scenario: Fanout, Secure: TLS, PlainRatio: 1.5}, 1, 1},
		{Result{Scenario: Fanout, Secure: TLS, PlainRatio: 1.51}, 1, 0},
		{Result{Scenario: Fanout, Secure: HTTP2, PlainRatio: 3}, 0, 0},
		{Result{Scenario: Idle, Secure: TLS, Memory: &Memory{Connected: 8 << 10}}, 1, 1},
		{Result{Scenario: Idle, Secure: HTTP2, Memory: &Memory{Connected: 26 << 10}}, 1, 0},
		{Result{Scenario: MillionSubscribers, Million: &Million{OpenedPerSecond: 50_000, RestCPU: 0.41, EventSeconds: 5, RevokedSeconds: 1}}, 7, 6},
	} {
		goals := evaluateGoals([]*Result{&tt.result}, false)
		require.Len(t, goals, tt.goals)
		met := 0
		for _, g := range goals {
			if g.Met {
				met++
			}
		}
		require.Equal(t, tt.met, met, "%+v", goals)
	}
	report := &Report{Results: results(100)}
	report.Results[0].Lost = 1
	report.Results[0].Hub.P99 = 1e6/usualRate + 1
	for _, r := range report.Results {
		r.noteDoubts()
	}
	report.Goals = evaluateGoals(report.Results, true)
	require.False(t, report.Clean())
	var text, svg bytes.Buffer
	require.NoError(t, report.Text(&text))
	require.Contains(t, text.String(), "NOT every subscriber")
	require.Equal(t, 24, strings.Count(text.String(), "NOT MET"))
	require.Equal(t, 2, strings.Count(text.String(), "disturbed"), "CPU and p99 of the first result are disturbed")
	require.NoError(t, report.SVG(&svg))
	for decoder := xml.NewDecoder(&svg); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
	}
}
