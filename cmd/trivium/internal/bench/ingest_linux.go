package bench

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// marks is the maximum number of events that mark publishes until one of them arrives.
const marks = 5

// ingest measures the cost of accepting events that have no subscribers, for each way to publish.
// Before and after each burst of events, it publishes a marker event to another topic, which has one
// subscriber. Because the hub numbers all events consecutively, the seq of the two markers shows how
// many events of the burst the hub has accepted.
func (r *runner) ingest(s spec) ([]*Result, error) {
	var results []*Result
	for _, w := range ways {
		if w.child && r.cfg.Target != "" || w.udp && r.cfg.Target != "" && r.cfg.TargetUDP == "" {
			continue
		}
		var result *Result
		var err error
		if w.child {
			result, err = r.publishInside(s, w)
		} else {
			result, err = r.ingestOver(s, w)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
		results = append(results, result)
	}
	return results, nil
}

// publishInside measures child processes that publish to a hub inside their own process.
func (r *runner) publishInside(s spec, w way) (*Result, error) {
	var rounds []*round
	for range s.rounds {
		one, err := r.publishRound(s, ChildPublish)
		if err != nil {
			return nil, err
		}
		rounds = append(rounds, one)
	}
	return ingested(s, w, rounds), nil
}

// publishRound runs a child process that publishes, and returns the measurements that it reports.
func (r *runner) publishRound(s spec, role string, more ...string) (*round, error) {
	args := []string{"bench", "--child", role, "--size", strconv.Itoa(s.size), "--duration", (s.duration / time.Duration(s.rounds)).String()}
	one, err := r.start(nil, append(args, more...)...)
	if err != nil {
		return nil, err
	}
	one.stop()
	r.progress.step()
	return &round{events: one.Events, deliveries: one.Events, cpu: one.CPU, wall: one.Wall, latency: newLatency()}, nil
}

// ingested returns the result for one way to publish. Its figures are per published event, because
// the events have no subscribers.
func ingested(s spec, w way, rounds []*round) *Result {
	s.transport = w.name
	result := s.result()
	result.Hub = figures(rounds)
	result.Hub.Deliveries = 0
	return result
}

// ingestOver measures publishing over the network.
func (r *runner) ingestOver(s spec, w way, flags ...string) (*Result, error) {
	d, err := r.hubSide(s, false, flags...)
	if err != nil {
		return nil, err
	}
	defer d.close()
	flood := newSource(r.load, s, 0)
	defer flood.close()
	d.source.close()
	d.source = newSource(r.load, s, 1) // for the marker events: one stream, one subscriber
	for _, source := range []*source{flood, d.source} {
		if w.udp {
			if err := source.overUDP(d.server.UDP); err != nil {
				return nil, err
			}
		} else {
			source.overHTTP("http://"+d.server.HTTP, d.server.token)
		}
	}
	if err := d.open("the hub", SSE, 1); err != nil {
		return nil, err
	}
	var rounds []*round
	var lost int64
	for range s.rounds {
		if _, err := d.windows(flood, w, warmUp); err != nil {
			return nil, err
		}
		var missing int64
		one, err := d.round(func() (err error) {
			missing, err = d.windows(flood, w, s.duration/time.Duration(s.rounds))
			return err
		})
		if err != nil {
			return nil, err
		}
		// Each window has two deliveries: the marker event before the burst and the one after it.
		one.deliveries = one.deliveries / 2 * int64(w.window(s.size))
		one.events = one.deliveries
		lost += missing
		rounds = append(rounds, one)
		r.progress.step()
	}
	result := ingested(s, w, rounds)
	result.Lost = lost
	result.Tally.add(d.group.tally)
	result.LoadCPU = loadShare(rounds)
	return result, nil
}

// windows publishes bursts for the given time. It publishes a marker event before and after each burst,
// and returns the number of lost events.
func (d *side) windows(flood *source, w way, length time.Duration) (lost int64, err error) {
	window := w.window(flood.size)
	for end := time.Now().Add(length); time.Now().Before(end); {
		before, err := d.mark()
		if err != nil {
			return 0, err
		}
		for sent := 0; sent < window; sent += w.batch {
			if err := flood.publish(w.batch); err != nil {
				return 0, err
			}
		}
		after, err := d.mark()
		if err != nil {
			return 0, err
		}
		if d.r.cfg.Target == "" { // other programs may publish to a hub that was already running
			lost += int64(window) - (after - before - 1)
		}
	}
	return lost, nil
}

// mark publishes a marker event and returns its seq after it has arrived at the subscriber. If the
// event does not arrive, mark counts it as lost and publishes another.
func (d *side) mark() (int64, error) {
	for range marks {
		if err := d.source.publish(1); err != nil {
			return 0, err
		}
		done, err := d.r.load.pump(patience, d.caughtUp)
		if err != nil {
			return 0, err
		}
		if done {
			_, number, _ := bytes.Cut(d.group.lastID, []byte("-"))
			return strconv.ParseInt(string(number), 10, 64)
		}
		d.group.countLost(d.source.head)
	}
	return 0, errors.New("no event arrived")
}
