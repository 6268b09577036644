package bench

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trivium-hub/trivium/hub"
)

// After the events that the scenario named replay reads, filler events are published. Each has fillerSize
// bytes of data; together they have fillerBytes bytes. They fill the hub's in-memory log, so that the hub
// must read the earlier events from the durable log.
const (
	fillerBytes = hub.DefaultRetainBytes
	fillerSize  = MaxSize
)

// replayRetention returns a retention under which none of the n events of replay is removed.
func replayRetention(n, size int) hub.Retention {
	const overhead = 1 << 10 // bytes that each event needs in the log in addition to its data
	return hub.Retention{
		Events: n + fillerBytes/fillerSize + 1000,
		Bytes:  int64(n)*int64(size+overhead) + 2*fillerBytes,
		Age:    24 * time.Hour,
	}
}

// retentionFlags returns the flags of a hub with the given retention.
func retentionFlags(r hub.Retention) []string {
	return []string{"--retain-events", strconv.Itoa(r.Events), "--retain-bytes", strconv.FormatInt(r.Bytes, 10), "--retain-age", r.Age.String()}
}

// replay measures a subscriber that reads a log from its first event, and compares it with
// JetStream's own consumer. With the engine nats, hub and consumer connect to NATS through a relay,
// which delays the bytes of both directions.
func (r *runner) replay(s spec) ([]*Result, error) {
	log := r.engine.newLog()
	begin, err := r.fill(s, log)
	if err != nil {
		return nil, err
	}
	own := log
	if s.engine == EngineEmbedded { // only one server at a time can use a store
		own = r.engine.newLog()
		if _, err := r.fill(s, own); err != nil {
			return nil, err
		}
	}
	var results []*Result
	for _, s.delay = range s.delays() {
		result, err := r.replayWith(s, begin, log, own)
		if err != nil {
			return nil, fmt.Errorf("delay %v: %w", s.delay, err)
		}
		results = append(results, result)
	}
	return results, nil
}

// fill runs the child process fill, which publishes the events of the scenario replay. The flags in log
// select the log. fill returns the cursor before the first event.
func (r *runner) fill(s spec, log []string) (cursor string, err error) {
	child, err := r.start(nil, slices.Concat([]string{"bench", "--child", ChildFill}, s.childFlags(), log)...)
	if err != nil {
		return "", err
	}
	child.stop()
	return child.Cursor, nil
}

func (s spec) childFlags() []string {
	return []string{"--size", strconv.Itoa(s.size), "--events", strconv.Itoa(s.events)}
}

// replayWith measures all rounds with the delay s.delay.
func (r *runner) replayWith(s spec, begin string, log, own []string) (*Result, error) {
	if s.delay > 0 {
		relays, relayed, err := relayLog(log, s.delay)
		defer func() {
			for _, one := range relays {
				one.close()
			}
		}()
		if err != nil {
			return nil, err
		}
		log, own = relayed, relayed
	}
	d, err := r.hubSide(s, false, slices.Concat(log, retentionFlags(replayRetention(s.events, s.size)),
		[]string{"--max-event-bytes", strconv.Itoa(engineEventBytes)})...)
	if err != nil {
		return nil, err
	}
	defer d.close()
	result := s.result()
	result.Delay = float64(s.delay) / float64(time.Millisecond)
	rounds, owns := make([]*round, s.rounds), make([]*round, s.rounds)
	for i := range s.rounds {
		turns := []func() error{
			func() (err error) { rounds[i], err = d.replayRound(s, begin, result); return err },
			func() (err error) { owns[i], err = r.consumerRound(s, own); return err },
		}
		if i%2 == 1 {
			slices.Reverse(turns)
		}
		for _, turn := range turns {
			if err := turn(); err != nil {
				return nil, err
			}
			r.progress.step()
		}
	}
	result.Against, result.Hub, result.Floor, result.LoadCPU = againstJetStream, figures(rounds), figures(owns), loadShare(rounds)
	result.Hub.NATSPerEvent, result.Floor.NATSPerEvent = median(each(rounds, (*round).natsPerEvent)), median(each(owns, (*round).natsPerEvent))
	result.CPURatio = medianOf(rounds, owns, (*round).perDelivery)
	ratios := ratiosOf(rounds, owns, (*round).perSecond)
	result.RateRatio = median(ratios)
	result.noteSpread(ratios)
	return result, nil
}

// replayRound measures one replay through the hub.
func (d *side) replayRound(s spec, begin string, result *Result) (*round, error) {
	p, err := d.plan(s.transport, s.subscribers)
	if err != nil {
		return nil, err
	}
	p.cursor = begin
	one := &round{latency: newLatency()}
	err = d.usage(one, func() error {
		g, err := d.r.load.connect("the replay", p)
		defer g.close()
		if err == nil {
			err = g.readTo(uint32(s.events))
		}
		one.deliveries = g.advanced
		one.events = one.deliveries
		result.Tally.add(g.tally)
		result.Gaps += g.gaps
		return err
	})
	return one, err
}

// readTo reads until all subscribers have received the events with numbers below head. If no event
// arrives within patience, the missing events count as lost.
func (g *group) readTo(head uint32) error {
	for before := int64(-1); g.advanced > before; {
		before = g.advanced
		if done, err := g.load.pump(patience, func() bool { return g.reached(head, 0) }); err != nil || done {
			return err
		}
	}
	g.countLost(func(uint32) uint32 { return head })
	return nil
}

// consumerRound measures one replay by JetStream's own consumer, which runs in a child process.
func (r *runner) consumerRound(s spec, log []string) (*round, error) {
	before, err := r.engine.cpu()
	if err != nil {
		return nil, err
	}
	child, err := r.start(nil, slices.Concat([]string{"bench", "--child", ChildConsumer}, s.childFlags(), log)...)
	if err != nil {
		return nil, err
	}
	child.stop()
	after, err := r.engine.cpu()
	return &round{events: child.Events, deliveries: child.Events, cpu: child.CPU, wall: child.Wall, nats: after - before, latency: newLatency()}, err
}

// relayLog starts a relay for each NATS server of --nats-url in log, which are command-line flags of a hub. It returns
// a copy of the flags with the addresses of the relays. The caller must close the relays, also after an error.
func relayLog(log []string, delay time.Duration) (relays []*relay, relayed []string, err error) {
	relayed = slices.Clone(log)
	at := 1 + slices.Index(relayed, "--nats-url")
	var urls []string
	for text := range strings.SplitSeq(relayed[at], ",") {
		u, err := url.Parse(strings.TrimSpace(text))
		if err != nil {
			return relays, nil, errors.New("--nats-url is not a list of URLs") // err may contain a password
		}
		if u.Scheme != "nats" {
			return relays, nil, errors.New("replay requires URLs of the form nats://host:port, because it connects through a relay")
		}
		if u.Port() == "" {
			u.Host += ":4222"
		}
		one, err := startRelay(u.Host, delay)
		if err != nil {
			return relays, nil, err
		}
		relays = append(relays, one)
		u.Host = one.address()
		urls = append(urls, u.String())
	}
	relayed[at] = strings.Join(urls, ",")
	return relays, relayed, nil
}
