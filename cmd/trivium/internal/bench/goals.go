package bench

import (
	"fmt"
	"strings"
)

// Goal is a performance goal of the hub, together with the measured value.
type Goal struct {
	Name     string  `json:"name"`
	Measured float64 `json:"measured"`
	Unit     string  `json:"unit"`
	Want     float64 `json:"want"`
	AtLeast  bool    `json:"at_least"` // the goal is met by values of at least Want; otherwise of at most Want
	Met      bool    `json:"met"`

	Disturbed bool `json:"disturbed"` // other programs disturbed the measurement of Measured
}

func (g Goal) wanted() string {
	sign := "<="
	if g.AtLeast {
		sign = ">="
	}
	return fmt.Sprintf("%s %g", sign, g.Want)
}

// The scenario fanout has goals for these rates, in events per second.
const (
	usualRate = 100
	quietRate = 20
)

// goalSpecs returns the measurements that --goals requires.
func goalSpecs(c *Config) []spec {
	own := *c
	own.Rate = 0
	if c.Engine != "" {
		own.Scenarios, own.Transports = EngineScenarios(c.Engine), over[Fanout]
		return own.specs()
	}
	var all []spec
	add := func(scenario string, rate int, transports ...string) {
		own.Rate = rate
		for _, transport := range transports {
			all = append(all, own.spec(scenario, transport))
		}
	}
	add(Fanout, usualRate, SSE, WebSocket)
	add(Fanout, quietRate, SSE, WebSocket, LongPoll)
	add(Burst, 0, SSE, WebSocket)
	add(Idle, 0, SSE, WebSocket, LongPoll)
	add(Topics, 0, SSE, WebSocket)
	add(Slow, 0, SSE, WebSocket)
	add(Resume, 0, SSE, WebSocket)
	add(Ingest, 0, "")
	return all
}

// goalsFor returns the goals that apply to r, each with the value that r measured.
func goalsFor(r *Result) []Goal {
	const floor = "x floor"
	if r.Engine != "" {
		return engineGoals(r)
	}
	if r.Secure != "" {
		return secureGoals(r)
	}
	name := r.Scenario + " " + r.Transport
	switch r.Scenario {
	case MillionSubscribers:
		return r.Million.goals()
	case Fanout:
		name = fmt.Sprintf("%s, %d events/s", name, r.Rate)
		switch {
		case r.Transport == LongPoll:
			return []Goal{atMost(name+": CPU per delivery", r.CPURatio, 1.2, "x bare handler")}
		case r.Rate == quietRate:
			return []Goal{atMost(name+": CPU per delivery", r.CPURatio, 1.3, floor)}
		}
		return []Goal{
			atMost(name+": CPU per delivery", r.CPURatio, 1.2, floor),
			atMost(name+": p99", r.P99Ratio, 1.3, floor),
		}
	case Burst:
		return []Goal{atMost(name+": CPU per delivery", r.CPURatio, 0.2, floor)}
	case Topics:
		return []Goal{atMost(name+": CPU per delivery", r.CPURatio, 1.5, floor)}
	case Slow:
		return []Goal{atMost(name+": p99 of subscribers that read", r.P99Ratio, 1.2, "x without stalled")}
	case Idle:
		most := map[string]float64{SSE: 2, WebSocket: 5, LongPoll: 10}[r.Transport]
		return []Goal{
			atMost(name+": memory per connection", r.Memory.Connected/1024, most, "KB"),
			atMost(name+": memory per connection after traffic", r.Memory.AfterTraffic/1024, most, "KB"),
			atMost(name+": idle CPU", 100*r.Memory.RestCPU, 1, "% of a core"),
		}
	case Resume:
		return []Goal{
			atMost(name+": time until all have caught up", r.CaughtUpSeconds, 5, "s"),
			atMost(name+": lost", float64(r.Lost), 0, ""),
			atMost(name+": p99 of the connected subscribers", r.P99Ratio, 3, "x steady"),
		}
	case Ingest:
		if r.Transport == inProcess {
			return []Goal{atLeast(name+": events per second and core", 1e6/r.Hub.CPUPerDelivery, 1e6, "")}
		}
	}
	return nil
}

// secureGoals returns the goals that apply to a result with TLS or HTTP/2.
func secureGoals(r *Result) []Goal {
	switch {
	case r.Scenario == Fanout && r.Secure == TLS:
		return []Goal{atMost(r.name()+": CPU per delivery", r.PlainRatio, 1.5, "x plain")}
	case r.Scenario == Idle:
		most := map[string]float64{TLS: 8, HTTP2: 25}[r.Secure]
		return []Goal{atMost(r.name()+": memory per connection", r.Memory.Connected/1024, most, "KB")}
	}
	return nil
}

// engineGoals returns the goals that apply to a result with an engine. The scenario hubs has no goals.
func engineGoals(r *Result) []Goal {
	switch r.Scenario {
	case Fanout:
		return []Goal{atMost(fmt.Sprintf("%s %s, %s: CPU per delivery", r.Scenario, r.Transport, r.Engine), r.FanoutRatio, 1.1, "x memory")}
	case Ingest:
		switch r.Transport {
		case singleHTTP:
			return []Goal{atMost(fmt.Sprintf("%s %s, %s: CPU per event", r.Scenario, r.Transport, r.Engine), r.Hub.CPUPerDelivery, 200, "us")}
		case inProcess, "":
			return []Goal{atLeast(fmt.Sprintf("%s, %s: events per second", r.Scenario, r.Engine), r.RateRatio, 0.7, "x JetStream's own")}
		}
	case Replay:
		if want := map[float64]float64{1: 50_000, 100: 10_000}[r.Delay]; want > 0 {
			return []Goal{atLeast(fmt.Sprintf("%s, %s, delay %g ms: events per second", r.Scenario, r.Engine, r.Delay), r.Hub.DeliveriesPerSecond, want, "")}
		}
	}
	return nil
}

// atMost returns a goal with an upper limit. A ratio of 0 does not meet it, because 0 means that the ratio was not
// measured. The unit of ratios begins with "x ".
func atMost(name string, measured, want float64, unit string) Goal {
	met := measured <= want && (measured > 0 || !strings.HasPrefix(unit, "x "))
	return Goal{Name: name, Measured: measured, Unit: unit, Want: want, Met: met}
}

func atLeast(name string, measured, want float64, unit string) Goal {
	return Goal{Name: name, Measured: measured, Unit: unit, Want: want, AtLeast: true, Met: measured >= want}
}

// evaluateGoals returns the goals that apply to the results. The flag --goals sets the parameter all. If all
// is not set, only the goals of the scenario million and of measurements with TLS or HTTP/2 are returned,
// because --goals does not include these measurements.
func evaluateGoals(results []*Result, all bool) []Goal {
	var goals []Goal
	for _, r := range results {
		if !all && r.Million == nil && r.Secure == "" {
			continue
		}
		for _, g := range goalsFor(r) {
			g.Disturbed = r.Disturbed
			goals = append(goals, g)
		}
	}
	return goals
}
