package bench

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Report is what a bench has measured. Its JSON names stay as they are.
type Report struct {
	Version string    `json:"version"`
	System  string    `json:"system"`
	CPUs    int       `json:"cpus"`
	Pinned  bool      `json:"pinned"` // servers on one core, the load on another
	Target  string    `json:"target,omitempty"`
	Results []*Result `json:"results"`
	Goals   []Goal    `json:"goals,omitempty"`
}

// Result is one scenario over one transport. Ratios are the hub's to the floor's, each the median
// of its rounds; 0 is not measured.
type Result struct {
	Scenario        string   `json:"scenario"`
	Transport       string   `json:"transport"` // of ingest the way in
	Subscribers     int      `json:"subscribers"`
	Rate            int      `json:"rate"` // events/s asked for; 0: as fast as it goes
	Size            int      `json:"size"` // bytes of data
	Rounds          int      `json:"rounds"`
	Hub             *Figures `json:"hub,omitempty"`
	Floor           *Figures `json:"floor,omitempty"`
	CPURatio        float64  `json:"cpu_ratio,omitempty"`
	P99Ratio        float64  `json:"p99_ratio,omitempty"` // of slow and resume: to the time without
	Tally                    // of the hub
	Gaps            int64    `json:"gaps"`
	FloorLost       int64    `json:"floor_lost"`
	Memory          *Memory  `json:"memory,omitempty"`
	CaughtUpSeconds float64  `json:"caught_up_seconds,omitempty"` // of resume
	LoadCPU         float64  `json:"load_cpu"`                    // share of a core that the load side took
	Notes           []string `json:"notes,omitempty"`
}

// Figures are those of one server: sums over all rounds for counts, medians of them for the rest,
// except the longest latency.
type Figures struct {
	Events              int64   `json:"events"`
	Deliveries          int64   `json:"deliveries"`
	CPUSeconds          float64 `json:"cpu_seconds"`
	CPUPerDelivery      float64 `json:"cpu_us_per_delivery"` // of ingest: per event
	DeliveriesPerSecond float64 `json:"deliveries_per_second"`
	P50                 float64 `json:"p50_us"`
	P99                 float64 `json:"p99_us"`
	Max                 float64 `json:"max_us"`
}

// Memory is the proportional set size for each connection, in bytes, above that of the hub which
// has served some before and has none.
type Memory struct {
	Before       int64   `json:"pss_before"` // of the process
	Connected    float64 `json:"pss_per_connection"`
	AfterTraffic float64 `json:"pss_per_connection_after_traffic"`
	RestCPU      float64 `json:"rest_cpu"` // share of a core while nothing is published
}

// Clean reports whether every subscriber got everything once, in order, unchanged.
func (r *Report) Clean() bool {
	for _, result := range r.Results {
		if !result.Tally.Clean() {
			return false
		}
	}
	return true
}

// enoughCPU is how many seconds of CPU a figure must stand on: 50 ticks of 10 ms, were it counted
// in those.
const enoughCPU = 0.5

// noteShort says which figures stand on too little.
func (r *Result) noteShort() {
	for _, f := range []struct {
		name string
		f    *Figures
	}{{"hub", r.Hub}, {"floor", r.Floor}} {
		if f.f != nil && f.f.CPUSeconds > 0 && f.f.CPUSeconds < enoughCPU {
			r.note("the %s took %.2f s of CPU in all, too little for an exact figure: use a longer --duration", f.name, f.f.CPUSeconds)
		}
	}
	if r.LoadCPU > 0.9 {
		r.note("the load side took %.0f %% of its core, and may have been the limit", 100*r.LoadCPU)
	}
	if r.FloorLost > 0 {
		r.note("the floor lost %d datagrams' deliveries", r.FloorLost)
	}
}

func (r *Result) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// Text writes the report as tables.
func (r *Report) Text(w io.Writer) error {
	where := "servers and load on the same cores"
	if r.Pinned {
		where = "servers on one core, load on another"
	}
	fmt.Fprintf(w, "trivium %s, %s, %d CPUs, %s\n", r.Version, r.System, r.CPUs, where)
	r.deliveryTable(w)
	r.memoryTable(w)
	r.goalTable(w)
	for _, result := range r.Results {
		for _, note := range result.Notes {
			fmt.Fprintf(w, "\n%s %s: %s", result.Scenario, result.Transport, note)
		}
	}
	verdict := "Every subscriber got every event once, in order, unchanged."
	if !r.Clean() {
		verdict = "NOT every subscriber got every event once, in order, unchanged."
	}
	_, err := fmt.Fprintf(w, "\n%s\n", verdict)
	return err
}

func (r *Report) deliveryTable(w io.Writer) {
	rows := [][]string{{"SCENARIO", "TRANSPORT", "SUBSCRIBERS", "EVENTS/S", "ROUNDS", "CPU/DELIVERY", "FLOOR", "RATIO",
		"P50", "P99", "MAX", "FLOOR P99", "RATIO", "DELIVERIES/S", "LOST", "DOUBLED", "REORDERED", "CHANGED"}}
	for _, result := range r.Results {
		hub, floor := result.Hub, result.Floor
		if hub == nil {
			hub = &Figures{}
		}
		if floor == nil {
			floor = &Figures{}
		}
		rows = append(rows, []string{
			result.Scenario, result.Transport, count(int64(result.Subscribers)), count(int64(result.Rate)), count(int64(result.Rounds)),
			micros(hub.CPUPerDelivery), micros(floor.CPUPerDelivery), times(result.CPURatio),
			micros(hub.P50), micros(hub.P99), micros(hub.Max), micros(floor.P99), times(result.P99Ratio), count(int64(hub.DeliveriesPerSecond)),
			fmt.Sprint(result.Lost), fmt.Sprint(result.Duplicated), fmt.Sprint(result.Reordered), fmt.Sprint(result.Changed),
		})
	}
	table(w, rows)
}

func (r *Report) memoryTable(w io.Writer) {
	rows := [][]string{{"IDLE", "CONNECTIONS", "PSS/CONNECTION", "AFTER TRAFFIC", "HUB ALONE", "CPU AT REST"}}
	for _, result := range r.Results {
		if m := result.Memory; m != nil {
			rows = append(rows, []string{
				result.Transport, count(int64(result.Subscribers)), kib(m.Connected), kib(m.AfterTraffic), kib(float64(m.Before)),
				fmt.Sprintf("%.2f %%", 100*m.RestCPU),
			})
		}
	}
	if len(rows) > 1 {
		table(w, rows)
	}
}

func (r *Report) goalTable(w io.Writer) {
	if len(r.Goals) == 0 {
		return
	}
	rows := [][]string{{"GOAL", "MEASURED", "WANTED", ""}}
	for _, g := range r.Goals {
		met := "met"
		if !g.Met {
			met = "NOT MET"
		}
		rows = append(rows, []string{g.Name, strings.TrimSpace(fmt.Sprintf("%.3g %s", g.Measured, g.Unit)), g.wanted(), met})
	}
	table(w, rows)
}

func table(w io.Writer, rows [][]string) {
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	_ = t.Flush() // what w has against it, the last line tells
}

// none stands for what was not measured.
const none = "-"

func count(n int64) string {
	if n == 0 {
		return none
	}
	return fmt.Sprint(n)
}

func micros(us float64) string {
	switch {
	case us == 0:
		return none
	case us >= 10_000:
		return fmt.Sprintf("%.1f ms", us/1000)
	case us >= 100:
		return fmt.Sprintf("%.0f us", us)
	default:
		return fmt.Sprintf("%.2f us", us)
	}
}

func times(ratio float64) string {
	if ratio == 0 {
		return none
	}
	return fmt.Sprintf("%.2f x", ratio)
}

func kib(bytes float64) string { return fmt.Sprintf("%.2f KB", bytes/1024) }
