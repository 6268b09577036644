package bench

import (
	"fmt"
	"io"
)

// engineTables writes the tables with the costs of an engine.
func (r *Report) engineTables(w io.Writer) {
	r.fanoutTable(w)
	r.publishTable(w)
	r.hubsTable(w)
	r.replayTable(w)
}

// fanoutTable writes the table of the scenario fanout. The column CPU/DELIVERY does not include the CPU
// time of publishing; the column RATIO WITH PUBLISH includes it.
func (r *Report) fanoutTable(w io.Writer) {
	rows := [][]string{{"ENGINE", "TRANSPORT", "SUBSCRIBERS", "EVENTS/S", "ROUNDS", "CPU/DELIVERY", "MEMORY", "RATIO",
		"CPU/PUBLISH", "MEMORY", "NATS", "RATIO WITH PUBLISH", "P50", "MEMORY", "P99", "MEMORY", "P50 ADDED", "P99 ADDED",
		"LOST", "DOUBLED", "REORDERED", "CHANGED"}}
	for _, result := range r.Results {
		if result.Engine == "" || result.Scenario != Fanout {
			continue
		}
		hub, memory := result.Hub, result.Floor
		rows = append(rows, append([]string{
			result.Engine, result.Transport, count(int64(result.Subscribers)), count(int64(result.Rate)), count(int64(result.Rounds)),
			micros(hub.FanoutPerDelivery), micros(memory.FanoutPerDelivery), times(result.FanoutRatio),
			micros(hub.CPUPerPublish), micros(memory.CPUPerPublish), micros(hub.NATSPerEvent), times(result.CPURatio),
			micros(hub.P50), micros(memory.P50), micros(hub.P99), micros(memory.P99),
			added(result.P50Added), added(result.P99Added),
		}, result.wrong()...))
	}
	table(w, rows)
}

func (r *Report) publishTable(w io.Writer) {
	rows := [][]string{{"ENGINE", "PUBLISHING", "ROUNDS", "EVENTS/S", "JETSTREAM", "RATIO", "CPU/EVENT", "JETSTREAM", "RATIO"}}
	for _, result := range r.Results {
		if result.Engine == "" || result.Scenario != Ingest {
			continue
		}
		hub, own := result.Hub, result.Floor
		if own == nil { // publishing over the network is not compared with JetStream
			rows = append(rows, []string{
				result.Engine, result.Transport, count(int64(result.Rounds)),
				count(int64(hub.DeliveriesPerSecond)), none, none, micros(hub.CPUPerDelivery), none, none,
			})
			continue
		}
		rows = append(rows, []string{
			result.Engine, result.Transport, count(int64(result.Rounds)),
			count(int64(hub.DeliveriesPerSecond)), count(int64(own.DeliveriesPerSecond)), times(result.RateRatio),
			micros(hub.CPUPerDelivery), micros(own.CPUPerDelivery), times(result.CPURatio),
		})
	}
	table(w, rows)
}

func (r *Report) hubsTable(w io.Writer) {
	rows := [][]string{{"HUBS", "TRANSPORT", "SUBSCRIBERS", "EVENTS/S", "ROUNDS", "CPU/DELIVERY", "RATIO TO ONE", "NATS",
		"P50", "P99", "P50 ADDED", "P99 ADDED", "LOST", "DOUBLED", "REORDERED", "CHANGED"}}
	for _, result := range r.Results {
		if result.Scenario != Hubs {
			continue
		}
		hub := result.Hub
		rows = append(rows, append([]string{
			fmt.Sprint(result.Hubs), result.Transport, count(int64(result.Subscribers)), count(int64(result.Rate)), count(int64(result.Rounds)),
			micros(hub.CPUPerDelivery), times(result.CPURatio), micros(hub.NATSPerEvent),
			micros(hub.P50), micros(hub.P99), added(result.P50Added), added(result.P99Added),
		}, result.wrong()...))
	}
	table(w, rows)
}

// replayTable writes the table of the scenario replay. The column DELAY is the delay between the hub
// and NATS in each direction.
func (r *Report) replayTable(w io.Writer) {
	rows := [][]string{{"REPLAY", "TRANSPORT", "DELAY", "EVENTS", "ROUNDS", "EVENTS/S", "JETSTREAM", "RATIO",
		"CPU/EVENT", "JETSTREAM", "RATIO", "NATS", "JETSTREAM", "LOST", "DOUBLED", "REORDERED", "CHANGED"}}
	for _, result := range r.Results {
		if result.Scenario != Replay {
			continue
		}
		hub, own := result.Hub, result.Floor
		rows = append(rows, append([]string{
			result.Engine, result.Transport, fmt.Sprintf("%g ms", result.Delay), count(hub.Events), count(int64(result.Rounds)),
			count(int64(hub.DeliveriesPerSecond)), count(int64(own.DeliveriesPerSecond)), times(result.RateRatio),
			micros(hub.CPUPerDelivery), micros(own.CPUPerDelivery), times(result.CPURatio),
			micros(hub.NATSPerEvent), micros(own.NATSPerEvent),
		}, result.wrong()...))
	}
	table(w, rows)
}

// wrong returns the last four columns of a row: the numbers of lost, duplicated, reordered and changed events.
func (r *Result) wrong() []string {
	return []string{fmt.Sprint(r.Lost), fmt.Sprint(r.Duplicated), fmt.Sprint(r.Reordered), fmt.Sprint(r.Changed)}
}

// added formats a difference of times, which may be negative.
func added(us float64) string {
	if us < 0 {
		return "-" + micros(-us)
	}
	return micros(us)
}
