package bench

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Report contains the results of a run of the benchmark. The names of its JSON members stay the same in later versions.
type Report struct {
	Version string    `json:"version"`
	System  string    `json:"system"`
	CPUs    int       `json:"cpus"`
	HubCPUs int       `json:"hub_cpus,omitempty"` // value of --cpus
	Pinned  bool      `json:"pinned"`             // the load did not run on the cores of the servers
	Target  string    `json:"target,omitempty"`
	Engine  string    `json:"engine,omitempty"`
	Results []*Result `json:"results"`
	Goals   []Goal    `json:"goals,omitempty"`

	allGoals bool // whether --goals was set
}

// Result is the result of one scenario over one transport. Unless a field states another divisor, a ratio
// is the hub's value divided by the floor's. Result contains the median of the rounds' ratios, or 0 if the
// ratio was not measured. If an engine is measured, the baseline named in Against replaces the floor.
type Result struct {
	Scenario        string   `json:"scenario"`
	Transport       string   `json:"transport"`        // for ingest: the way to publish
	Secure          string   `json:"secure,omitempty"` // tls or http2; "": plain TCP
	Subscribers     int      `json:"subscribers"`
	Rate            int      `json:"rate"` // events per second; 0: as fast as possible
	Size            int      `json:"size"` // bytes of data
	Rounds          int      `json:"rounds"`
	Hub             *Figures `json:"hub,omitempty"`
	Floor           *Figures `json:"floor,omitempty"`
	CPURatio        float64  `json:"cpu_ratio,omitempty"`
	P99Ratio        float64  `json:"p99_ratio,omitempty"` // for slow and resume: divided by the hub's p99 in normal operation
	Tally                    // events that the hub did not deliver correctly
	Gaps            int64    `json:"gaps"`
	FloorLost       int64    `json:"floor_lost"`
	Engine          string   `json:"engine,omitempty"`
	Against         string   `json:"against,omitempty"`
	Hubs            int      `json:"hubs,omitempty"`         // number of hubs on one stream that share the subscribers
	PlainRatio      float64  `json:"plain_ratio,omitempty"`  // CPU per delivery, compared with the same hub without TLS
	FanoutRatio     float64  `json:"fanout_ratio,omitempty"` // CPU per delivery, without the cost of publishing
	RateRatio       float64  `json:"rate_ratio,omitempty"`   // for ingest and replay: ratio of the events per second
	Delay           float64  `json:"delay_ms,omitempty"`     // for replay: delay in each direction between the hub and NATS
	P50Added        float64  `json:"p50_added_us,omitempty"` // latency of the hub minus latency of the other side
	P99Added        float64  `json:"p99_added_us,omitempty"`
	Memory          *Memory  `json:"memory,omitempty"`
	Million         *Million `json:"million,omitempty"`
	CaughtUpSeconds float64  `json:"caught_up_seconds,omitempty"` // for resume: time until all subscribers had caught up
	LoadCPU         float64  `json:"load_cpu"`                    // share of a core that the load used
	Disturbed       bool     `json:"disturbed"`                   // the machine was too busy for reliable ratios
	Notes           []string `json:"notes,omitempty"`
}

// Figures are the measurements of one server. Events, Deliveries and CPUSeconds are sums over all
// rounds, and Max is the maximum over all rounds. The other values are medians of the rounds.
type Figures struct {
	Events              int64   `json:"events"`
	Deliveries          int64   `json:"deliveries"`
	CPUSeconds          float64 `json:"cpu_seconds"`
	CPUPerDelivery      float64 `json:"cpu_us_per_delivery"` // for ingest: per event instead of per delivery
	DeliveriesPerSecond float64 `json:"deliveries_per_second"`
	FanoutPerDelivery   float64 `json:"fanout_us_per_delivery,omitempty"` // CPU time, without the cost of publishing
	CPUPerPublish       float64 `json:"cpu_us_per_publish,omitempty"`     // CPU time per event with one subscriber
	NATSPerEvent        float64 `json:"nats_us_per_event,omitempty"`      // CPU of the NATS server
	P50                 float64 `json:"p50_us"`
	P99                 float64 `json:"p99_us"`
	Max                 float64 `json:"max_us"`
}

// Memory is the memory of a hub, as proportional set size in bytes. The memory per connection does not
// include Before, which is measured after the hub has served and closed some connections.
type Memory struct {
	Before       int64   `json:"pss_before"` // memory of the whole process without connections
	Connected    float64 `json:"pss_per_connection"`
	AfterTraffic float64 `json:"pss_per_connection_after_traffic"`
	RestCPU      float64 `json:"rest_cpu"` // share of a core that is used while nothing is published
}

// Clean reports whether every subscriber received every event once, in order and unchanged.
func (r *Report) Clean() bool {
	for _, result := range r.Results {
		if !result.Tally.Clean() {
			return false
		}
	}
	return true
}

// enoughCPU is the minimum CPU time for a reliable figure, in seconds. It is 50 times the tick of 10 ms
// in which some kernels count CPU time.
const enoughCPU = 0.5

// namedFigures holds the figures and the name of one side.
type namedFigures struct {
	*Figures
	name string
}

// sides returns the figures of the sides that were measured.
func (r *Result) sides() []namedFigures {
	both := []namedFigures{{r.Hub, "the hub"}, {r.Floor, cmp.Or(r.Against, "the floor")}}
	return slices.DeleteFunc(both, func(f namedFigures) bool { return f.Figures == nil })
}

// noteDoubts adds notes about figures that may be wrong, because the measurement was too short or was disturbed.
func (r *Result) noteDoubts() {
	r.noteShort()
	if r.Scenario == Fanout || r.Scenario == Hubs || r.Scenario == Scale {
		r.noteLate()
	}
	if r.LoadCPU > 0.9 {
		r.note("the load generator used %.0f %% of its core, and may have limited the result", 100*r.LoadCPU)
	}
	if r.FloorLost > 0 {
		r.note("%s lost %d deliveries", cmp.Or(r.Against, "the floor"), r.FloorLost)
	}
}

func (r *Result) noteShort() {
	for _, f := range r.sides() {
		if f.CPUSeconds > 0 && f.CPUSeconds < enoughCPU {
			remedy := "a longer --duration"
			switch r.Scenario {
			case Replay:
				remedy = "more --events"
			case MillionSubscribers:
				remedy = "more --rounds"
			}
			r.note("%s used only %.2f s of CPU, which is too little for an exact figure: use %s", f.name, f.CPUSeconds, remedy)
		}
	}
}

// noteLate adds a note if events were delivered only after the next event had been published. Several
// events may then have been written together, which makes the measured CPU time per event too low.
func (r *Result) noteLate() {
	interval := 1e6 / float64(r.Rate)
	for _, f := range r.sides() {
		if f.P99 > interval {
			r.Disturbed = true
			r.note("%s delivered events after the next ones had been published (p99 %s), so several may have been written at once: "+
				"other programs were using the cores, or one core is not enough", f.name, micros(f.P99))
		}
	}
}

// maxSpread is the largest factor by which the ratios of the rounds may differ.
const maxSpread = 1.5

// noteSpread adds a note if the ratios of the rounds differ by a factor of more than maxSpread. Rounds
// of a second or two are not reliable on a busy machine.
func (r *Result) noteSpread(ratios []float64) {
	if low, high := slices.Min(ratios), slices.Max(ratios); high > maxSpread*low {
		r.Disturbed = true
		r.note("the ratios of the rounds are between %.2f and %.2f: other programs were using the cores", low, high)
	}
}

// name returns a heading for the result: scenario, transport, number of hubs, and delay to NATS.
func (r *Result) name() string {
	name := r.Scenario + " " + r.over()
	if r.Hubs > 0 {
		name += fmt.Sprintf(", hubs: %d", r.Hubs)
	}
	if r.Delay > 0 {
		name += fmt.Sprintf(", %g ms to NATS", r.Delay)
	}
	return name
}

// over returns the name of the transport, followed by TLS or HTTP/2 if one of them was used.
func (r *Result) over() string {
	switch r.Secure {
	case TLS:
		return r.Transport + ", TLS"
	case HTTP2:
		return r.Transport + ", HTTP/2"
	}
	return r.Transport
}

func (r *Result) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// Text writes the report as tables.
func (r *Report) Text(w io.Writer) error {
	where := "servers and load on the same cores"
	switch {
	case r.Pinned && r.HubCPUs > 1:
		where = fmt.Sprintf("servers on %d cores, load on another", r.HubCPUs)
	case r.Pinned:
		where = "servers on one core, load on another"
	case r.HubCPUs > 0:
		where = fmt.Sprintf("servers on %d cores, load on one of them", r.HubCPUs)
	}
	fmt.Fprintf(w, "trivium %s, %s, %d CPUs, %s\n", r.Version, r.System, r.CPUs, where)
	if slices.ContainsFunc(r.Results, func(result *Result) bool { return result.Floor != nil && result.Engine == "" }) {
		fmt.Fprintln(w, "The floor is the baseline: a loop of write(2) for as many sockets, or for long-poll a bare net/http handler.")
	}
	r.deliveryTable(w)
	r.ingestTable(w)
	r.engineTables(w)
	r.memoryTable(w)
	r.millionTable(w)
	r.goalTable(w)
	r.notes(w)
	verdict := "Every subscriber received every event once, in order, unchanged."
	if !r.Clean() {
		verdict = "NOT every subscriber received every event once, in order, unchanged."
	}
	_, err := fmt.Fprintf(w, "\n%s\n", verdict)
	return err
}

func (r *Report) notes(w io.Writer) {
	first := "\n"
	for _, result := range r.Results {
		for _, note := range result.Notes {
			fmt.Fprintf(w, "%s%s: %s\n", first, result.name(), note)
			first = ""
		}
	}
}

func (r *Report) deliveryTable(w io.Writer) {
	rows := [][]string{{"SCENARIO", "TRANSPORT", "SUBSCRIBERS", "EVENTS/S", "ROUNDS", "CPU/DELIVERY", "FLOOR", "RATIO",
		"P50", "P99", "MAX", "FLOOR P99", "RATIO", "DELIVERIES/S", "LOST", "DOUBLED", "REORDERED", "CHANGED"}}
	for _, result := range r.Results {
		if result.Hub == nil || result.Scenario == Ingest || result.Engine != "" {
			continue
		}
		hub, floor := result.Hub, cmp.Or(result.Floor, &Figures{})
		rows = append(rows, append([]string{
			result.Scenario, result.over(), count(int64(result.Subscribers)), count(int64(result.Rate)), count(int64(result.Rounds)),
			micros(hub.CPUPerDelivery), micros(floor.CPUPerDelivery), times(result.CPURatio),
			micros(hub.P50), micros(hub.P99), micros(hub.Max), micros(floor.P99), times(result.P99Ratio), count(int64(hub.DeliveriesPerSecond)),
		}, result.wrong()...))
	}
	table(w, rows)
}

func (r *Report) ingestTable(w io.Writer) {
	rows := [][]string{{"INGEST", "ROUNDS", "CPU/EVENT", "EVENTS/S", "EVENTS/S AND CORE", "LOST"}}
	for _, result := range r.Results {
		if result.Scenario != Ingest || result.Engine != "" {
			continue
		}
		core := none
		if result.Hub.CPUPerDelivery > 0 {
			core = count(int64(1e6 / result.Hub.CPUPerDelivery))
		}
		rows = append(rows, []string{
			result.Transport, count(int64(result.Rounds)), micros(result.Hub.CPUPerDelivery), count(int64(result.Hub.DeliveriesPerSecond)),
			core, fmt.Sprint(result.Lost),
		})
	}
	table(w, rows)
}

func (r *Report) memoryTable(w io.Writer) {
	rows := [][]string{{"IDLE", "CONNECTIONS", "PSS/CONNECTION", "AFTER TRAFFIC", "HUB ALONE", "IDLE CPU"}}
	for _, result := range r.Results {
		if m := result.Memory; m != nil {
			rows = append(rows, []string{
				result.over(), count(int64(result.Subscribers)), kib(m.Connected), kib(m.AfterTraffic), kib(float64(m.Before)),
				fmt.Sprintf("%.2f %%", 100*m.RestCPU),
			})
		}
	}
	table(w, rows)
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
		if g.Disturbed {
			met += ", but disturbed: measure on a quiet machine"
		}
		rows = append(rows, []string{g.Name, strings.TrimSpace(fmt.Sprintf("%.3g %s", g.Measured, g.Unit)), g.wanted(), met})
	}
	table(w, rows)
	if r.Engine != "" || !r.allGoals {
		return
	}
	fmt.Fprintln(w, "Allocations per delivery cannot be measured from outside; TestDeliveryAllocatesNothing of transports/internal/connection checks that there are none.")
}

// table writes rows as a table with aligned columns. The first row is the heading. If it is the only
// row, table writes nothing.
func table(w io.Writer, rows [][]string) {
	if len(rows) == 1 {
		return
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	_ = t.Flush() // the error of w is returned by the last write
}

// none is the text for a figure that was not measured.
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

func kib(bytes float64) string {
	if bytes >= 1<<20 {
		return fmt.Sprintf("%.1f MB", bytes/(1<<20))
	}
	return fmt.Sprintf("%.2f KB", bytes/1024)
}
