package bench

import (
	"fmt"
	"strconv"
)

// These are the names of the alternatives with which an engine is compared: the memory engine, and publishing or reading
// with JetStream's own client.
const (
	againstMemory    = "memory"
	againstJetStream = "JetStream"
)

// alone returns the measurement s with a single subscriber, whose topic has no other subscribers.
func (s spec) alone() spec {
	s.scenario, s.subscribers = Topics, 1
	return s
}

// perPublish returns the CPU time per published event in µs, including one delivery.
func (r *round) perPublish() float64 {
	return float64(r.alone.cpu.Nanoseconds()) / 1000 / float64(max(r.alone.events, 1))
}

// fanoutPerDelivery returns the CPU time per delivery in µs, without the cost of publishing.
func (r *round) fanoutPerDelivery() float64 {
	cpu := float64(r.cpu.Nanoseconds())/1000 - r.perPublish()*float64(r.events)
	return max(cpu, 0) / float64(max(r.deliveries-r.events, 1))
}

func (r *round) natsPerEvent() float64 {
	return float64(r.nats.Nanoseconds()) / 1000 / float64(max(r.events, 1))
}

// medianAdded returns the latency that the hub adds, at the given percentile: the median, over all
// rounds, of the hub's latency minus that of the other side.
func medianAdded(hubs, others []*round, percentile float64) float64 {
	added := make([]float64, len(hubs))
	for i := range hubs {
		added[i] = hubs[i].micros(percentile) - others[i].micros(percentile)
	}
	return median(added)
}

// logHubs starts n hubs that share one new log. Together they are one side of the comparison.
func (r *runner) logHubs(s spec, n int) (*side, error) {
	flags := append(r.engine.newLog(), "--max-event-bytes", strconv.Itoa(engineEventBytes))
	var all []*Server
	for range n {
		one, err := r.hub(flags...)
		if err != nil {
			for _, other := range all {
				other.stop()
			}
			return nil, err
		}
		all = append(all, one)
	}
	d, err := r.side(s, all[0], true)
	d.others = all[1:]
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// watchAlone adds a second measurement to each round of the side: events are published to a single
// subscriber of the same server, while the other connections stay open.
func (d *side) watchAlone(s spec) (err error) {
	d.alone, err = d.r.side(s.alone(), d.server, true)
	return err
}

// compareEngine compares a hub with the configured engine and a hub with the memory engine. It measures
// them alternately.
func (r *runner) compareEngine(s spec) (*Result, error) {
	hub, err := r.logHubs(s, 1)
	if err != nil {
		return nil, err
	}
	defer hub.close()
	memory, err := r.hubSide(s, true)
	if err != nil {
		return nil, err
	}
	defer memory.close()
	memory.name = "the hub in memory"
	for _, d := range []*side{hub, memory} {
		if err := d.watchAlone(s); err != nil {
			return nil, err
		}
	}
	rounds, err := r.turns(s, hub, memory)
	if err != nil {
		return nil, err
	}
	result := compared(s, hub, memory, rounds)
	hubs, memories := rounds[hub], rounds[memory]
	result.Against = againstMemory
	result.FanoutRatio = medianOf(hubs, memories, (*round).fanoutPerDelivery)
	result.P50Added, result.P99Added = medianAdded(hubs, memories, 50), medianAdded(hubs, memories, 99)
	result.Hub.apart(hubs)
	result.Floor.apart(memories)
	result.Hub.NATSPerEvent = median(each(hubs, (*round).natsPerEvent))
	for _, d := range []*side{hub, memory} {
		d.alone.closeSubscribers()
		result.Tally.add(d.alone.tally)
	}
	return result, nil
}

// apart sets two separate figures: the CPU time of publishing an event, and the CPU time of a delivery
// without the cost of publishing.
func (f *Figures) apart(rounds []*round) {
	f.CPUPerPublish = median(each(rounds, (*round).perPublish))
	f.FanoutPerDelivery = median(each(rounds, (*round).fanoutPerDelivery))
}

// publishBeside compares publishing through a hub with the configured engine and publishing through
// JetStream's own client. It measures them alternately, and creates a new log for each measurement.
func (r *runner) publishBeside(s spec) (*Result, error) {
	rounds := map[string][]*round{}
	for i := range s.rounds {
		roles := []string{ChildEngine, ChildJetStream}
		if i%2 == 1 {
			roles[0], roles[1] = roles[1], roles[0]
		}
		for _, role := range roles {
			one, err := r.publishRound(s, role, r.engine.newLog()...)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", role, err)
			}
			rounds[role] = append(rounds[role], one)
		}
	}
	hubs, own := rounds[ChildEngine], rounds[ChildJetStream]
	result := ingested(s, way{name: inProcess}, hubs)
	result.Against, result.Floor = againstJetStream, figures(own)
	result.Floor.Deliveries = 0
	result.CPURatio = medianOf(hubs, own, (*round).perDelivery)
	ratios := ratiosOf(hubs, own, (*round).perSecond)
	result.RateRatio = median(ratios)
	result.noteSpread(ratios)
	return result, nil
}

// ingestEngine measures publishing to a hub with the configured engine. First, a child process publishes
// to a hub inside itself; this is compared with JetStream's own client. Then the benchmark publishes to
// a hub over the network, without a comparison.
func (r *runner) ingestEngine(s spec) ([]*Result, error) {
	beside, err := r.publishBeside(s)
	if err != nil {
		return nil, err
	}
	results := []*Result{beside}
	for _, w := range engineWays {
		result, err := r.ingestOver(s, w, append(r.engine.newLog(), "--max-event-bytes", strconv.Itoa(engineEventBytes))...)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
		results = append(results, result)
	}
	return results, nil
}

// hubs measures 1, 2 and 3 hubs that share one stream. The subscribers are divided among the hubs, and
// all events are published to the first hub.
func (r *runner) hubs(s spec) ([]*Result, error) {
	sides := make([]*side, maxHubs)
	for i := range sides {
		d, err := r.logHubs(s, i+1)
		if err != nil {
			return nil, err
		}
		defer d.close()
		sides[i] = d
	}
	rounds, err := r.turns(s, sides...)
	if err != nil {
		return nil, err
	}
	var results []*Result
	for i, d := range sides {
		result := compared(s, d, sides[0], rounds)
		result.Hubs, result.Floor = i+1, nil // the result of one hub is reported separately
		result.Hub.NATSPerEvent = median(each(rounds[d], (*round).natsPerEvent))
		result.P50Added, result.P99Added = medianAdded(rounds[d], rounds[sides[0]], 50), medianAdded(rounds[d], rounds[sides[0]], 99)
		results = append(results, result)
	}
	return results, nil
}
