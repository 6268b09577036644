package bench

import (
	"fmt"
	"io"
)

// Million holds the measurements of the scenario million. Memory is in bytes.
type Million struct {
	Sockets      int     `json:"sockets"`           // real SSE connections
	SocketPSS    float64 `json:"pss_per_socket"`    // memory of the hub's process
	SocketKernel float64 `json:"kernel_per_socket"` // kernel memory of the hub's end of a connection; 0: not measured

	Groups          int     `json:"groups"` // number of subscription groups of the subscribers in memory
	Tokens          int     `json:"tokens"`
	OpenedPerSecond float64 `json:"opened_per_second"`
	OpenCPU         float64 `json:"open_cpu_us"`               // CPU time to open one subscription
	PSS             int64   `json:"pss"`                       // memory of the hub with the subscribers in memory, without their connections
	Heap            float64 `json:"heap_per_subscription"`     // heap that is in use after garbage collection
	RestCPU         float64 `json:"rest_cpu"`                  // share of a core that is used while nothing is published
	Heartbeats      float64 `json:"heartbeats_per_second"`     // while RestCPU was measured
	EventSeconds    float64 `json:"event_seconds"`             // time from the publishing of an event until all subscribers have it, in the slowest round
	FloorSeconds    float64 `json:"floor_seconds"`             // the same for the floor
	OwnEvents       float64 `json:"own_deliveries_per_second"` // with topics that only one group subscribes to
	RevokedSeconds  float64 `json:"revoked_seconds"`           // time from the revocation of a token until its connections are closed
	DrainSeconds    float64 `json:"drain_seconds"`
	DrainCPU        float64 `json:"drain_cpu_us"` // CPU time to drain one subscription
	DrainWindow     float64 `json:"drain_window_seconds"`
	CutByDrain      int64   `json:"cut_by_drain"` // connections that the drain closed without a message
}

// These are the goals for a million subscribers. They also apply to fewer subscribers.
const (
	mostMillionMemory  = 2 << 30
	mostMillionRest    = 40 // % of a core
	mostMillionEvent   = 5  // s
	leastMillionOpened = 50_000
	mostRevoked        = 1 // s
)

// goals returns the goals of the scenario million with the measured values.
func (m *Million) goals() []Goal {
	return []Goal{
		atLeast("million: connections opened per second", m.OpenedPerSecond, leastMillionOpened, ""),
		atMost("million: memory of the hub", float64(m.PSS)/(1<<30), mostMillionMemory>>30, "GB"),
		atMost("million: idle CPU", 100*m.RestCPU, mostMillionRest, "% of a core"),
		atMost("million: time of one event to all", m.EventSeconds, mostMillionEvent, "s"),
		atMost("million: time to close the connections of a revoked token", m.RevokedSeconds, mostRevoked, "s"),
		atMost("million: drain", m.DrainSeconds, m.DrainWindow, "s"),
		atMost("million: connections cut by the drain", float64(m.CutByDrain), 0, ""),
	}
}

// millionTable writes the figures of the scenario million that the other tables do not contain.
func (r *Report) millionTable(w io.Writer) {
	sockets := [][]string{{"REAL CONNECTIONS", "PSS/CONNECTION", "KERNEL/CONNECTION", "BOTH, PER MILLION"}}
	inMemory := [][]string{{"IN MEMORY", "GROUPS", "TOKENS", "OPENED/S", "CPU", "HUB", "HEAP/SUBSCRIPTION", "IDLE CPU", "HEARTBEATS/S",
		"EVENT TO ALL", "FLOOR", "OWN EVENTS/S", "TOKEN ENDED", "DRAIN", "CPU"}}
	for _, result := range r.Results {
		m := result.Million
		if m == nil {
			continue
		}
		sockets = append(sockets, []string{
			count(int64(m.Sockets)), kib(m.SocketPSS), kib(m.SocketKernel), kib(1e6 * (m.SocketPSS + m.SocketKernel)),
		})
		inMemory = append(inMemory, []string{
			count(int64(result.Subscribers)), count(int64(m.Groups)), count(int64(m.Tokens)), count(int64(m.OpenedPerSecond)), micros(m.OpenCPU),
			kib(float64(m.PSS)), fmt.Sprintf("%.0f B", m.Heap), fmt.Sprintf("%.1f %%", 100*m.RestCPU), count(int64(m.Heartbeats)),
			seconds(m.EventSeconds), seconds(m.FloorSeconds), count(int64(m.OwnEvents)), seconds(m.RevokedSeconds),
			seconds(m.DrainSeconds) + " of " + seconds(m.DrainWindow), micros(m.DrainCPU),
		})
	}
	table(w, sockets)
	table(w, inMemory)
}

func seconds(s float64) string { return fmt.Sprintf("%.2f s", s) }
