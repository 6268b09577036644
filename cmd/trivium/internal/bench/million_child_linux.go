package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
	"unsafe"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports"
)

const (
	perToken = 1000 // number of subscribers with the same token
	perGroup = 1000 // number of subscribers in each group, except the group that contains half of all subscribers

	// enoughShare is the minimum share of all cores that the process must get while it opens the subscribers. If it
	// gets less, other programs have disturbed the measurement.
	enoughShare = 0.8

	hubGCPercent = 50              // as in the hub's own process
	hubDrain     = 8 * time.Second // default of --drain
)

// million is a hub in this process, whose subscribers have in-memory connections. All subscribers
// subscribe to one shared topic. Half of them subscribe to nothing else and are one group. Each of the
// other subscribers also subscribes to the topic of its own group, which has perGroup members.
type million struct {
	n, size int
	hub     *hub.Hub
	api     *transports.API
	access  *auth.Middleware
	tokens  *millionTokens
	ran     sync.WaitGroup // waits for the goroutine that runs access.Run
	stop    context.CancelFunc

	run   memoryRun
	conns []memoryConn
	heads map[uint32]uint32 // number of published events by stream

	floorRun   memoryRun
	floorConns []memoryConn
}

// runMillion is the main function of the child process million.
func runMillion(stderr io.Writer, cfg *Config) error {
	debug.SetGCPercent(hubGCPercent)
	m, err := newMillion(cfg.Subscribers, cfg.Size)
	if err != nil {
		return err
	}
	result, err := m.measure(cfg.Rounds, cfg.Duration)
	if err = errors.Join(err, m.close()); err != nil {
		return err
	}
	m.check(result)
	return json.NewEncoder(stderr).Encode(address{Message: listening, Result: result})
}

func newMillion(n, size int) (*million, error) {
	h, err := hub.New(hub.Config{})
	if err != nil {
		return nil, err
	}
	m := &million{n: n, size: size, hub: h, tokens: newMillionTokens(n), conns: make([]memoryConn, n), heads: map[uint32]uint32{}}
	m.access = auth.New(auth.Config{Verifier: m.tokens})
	if m.api, err = transports.New(transports.Config{Hub: h, Auth: m.access}); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	m.ran.Go(func() { m.access.Run(ctx) })
	for i := range m.conns {
		m.conns[i].run = &m.run
	}
	for _, i := range m.firsts() {
		m.conns[i].kept = []byte{}
	}
	m.run.expect(0) // no event is expected yet
	return m, nil
}

// close closes the hub and waits for its goroutines.
func (m *million) close() error {
	m.api.Close()
	m.stop()
	m.ran.Wait()
	return m.hub.Close()
}

// stream returns the stream that subscriber i receives in addition to the shared stream, or 0 if it receives only the
// shared one.
func (m *million) stream(i int) uint32 {
	if i < m.n/2 {
		return 0
	}
	return uint32((i-m.n/2)/perGroup) + 1
}

// streams returns the number of streams in addition to the shared stream.
func (m *million) streams() uint32 { return m.stream(m.n - 1) }

// firsts returns the first subscriber of each group. The connections of these subscribers keep their events.
func (m *million) firsts() []int {
	firsts := []int{0}
	for i := m.n / 2; i < m.n; i += perGroup {
		firsts = append(firsts, i)
	}
	return firsts
}

// first returns the first subscriber in the group of subscriber i.
func (m *million) first(i int) int {
	if i < m.n/2 {
		return 0
	}
	return m.n/2 + int(m.stream(i)-1)*perGroup
}

// measure runs all phases and returns the result. The method check later adds the lost, duplicated and
// changed events.
func (m *million) measure(rounds int, rest time.Duration) (*Result, error) {
	result := &Result{Million: &Million{Groups: len(m.firsts()), Tokens: m.tokens.count()}}
	figures := result.Million
	heap := heapInUse()
	opening, err := usage(m.open)
	if err != nil {
		return nil, err
	}
	figures.OpenedPerSecond = float64(m.n) / opening.wall.Seconds()
	figures.OpenCPU = float64(opening.cpu.Nanoseconds()) / 1000 / float64(m.n)
	result.Disturbed = opening.cpu.Seconds() < enoughShare*opening.wall.Seconds()*float64(runtime.GOMAXPROCS(0))
	connected, err := settled(ownPSS, func() error { time.Sleep(settleLook); return nil })
	if err != nil {
		return nil, err
	}
	figures.PSS = connected - int64(m.n)*int64(unsafe.Sizeof(memoryConn{})) // all are in memory: newMillion has written to them
	figures.Heap = float64(heapInUse()-heap) / float64(m.n)
	if err := m.rest(figures, rest); err != nil {
		return nil, err
	}
	if err := m.events(result, rounds); err != nil {
		return nil, err
	}
	if figures.OwnEvents, err = m.ownEvents(); err != nil {
		return nil, err
	}
	figures.RevokedSeconds = m.revoke()
	figures.DrainWindow = min(hubDrain, max(rest, time.Second)).Seconds()
	draining, err := usage(func() error {
		m.api.Drain(context.Background(), time.Duration(figures.DrainWindow*float64(time.Second)))
		return nil
	})
	figures.DrainSeconds = draining.wall.Seconds()
	figures.DrainCPU = float64(draining.cpu.Nanoseconds()) / 1000 / float64(m.n)
	return result, err
}

// each calls f once for each subscriber. The calls are divided among GOMAXPROCS goroutines.
func (m *million) each(f func(i int) error) error {
	workers := runtime.GOMAXPROCS(0)
	errs := make([]error, workers)
	var running sync.WaitGroup
	for w := range workers {
		running.Go(func() {
			for i := w * m.n / workers; i < (w+1)*m.n/workers && errs[w] == nil; i++ {
				errs[w] = f(i)
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// open opens all subscribers through the handler of the API, with its access control.
func (m *million) open() error {
	return m.each(func(i int) error {
		query := "topic=" + topicOf(0)
		if stream := m.stream(i); stream > 0 {
			query += "&topic=" + topicOf(stream)
		}
		address := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 1)
		w := &memoryResponse{conn: &m.conns[i], header: http.Header{}}
		m.api.ServeHTTP(w, &http.Request{
			Method: http.MethodGet, URL: &url.URL{Path: "/sse", RawQuery: query}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Host: "bench", RemoteAddr: address.String(), Header: http.Header{"Authorization": {"Bearer " + m.tokens.of(i)}},
		})
		return w.err()
	})
}

// heapInUse returns the bytes of all reachable memory.
func heapInUse() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// usage calls work and returns the elapsed time and the CPU time of this process during the call.
func usage(work func() error) (*round, error) {
	r := &round{latency: newLatency()}
	cpu, err := cpuOf(os.Getpid())
	if err != nil {
		return r, err
	}
	start := time.Now()
	if err := work(); err != nil {
		return r, err
	}
	r.wall = time.Since(start)
	after, err := cpuOf(os.Getpid())
	r.cpu = after - cpu
	return r, err
}

// rest measures the CPU time for the duration d, while the hub writes only heartbeats.
func (m *million) rest(figures *Million, d time.Duration) error {
	heartbeats := m.run.heartbeats.Load()
	resting, err := usage(func() error { time.Sleep(d); return nil })
	if err != nil {
		return err
	}
	figures.RestCPU = resting.cpu.Seconds() / resting.wall.Seconds()
	figures.Heartbeats = float64(m.run.heartbeats.Load()-heartbeats) / resting.wall.Seconds()
	return nil
}

// events publishes one event to all subscribers in each round. As the baseline it measures m.floor, which writes the
// same number of bytes to the same number of memoryConns.
func (m *million) events(result *Result, rounds int) error {
	m.floorConns = make([]memoryConn, m.n)
	for i := range m.floorConns {
		m.floorConns[i] = memoryConn{run: &m.floorRun, state: memoryOpen}
	}
	sides := [2]func() error{func() error { return m.publish(0) }, m.floor}
	var all [2][]*round
	for i := range rounds {
		for k := range sides {
			side := (i + k) % len(sides) // the sides take turns in being measured first
			run := &m.run
			if side == 1 {
				run = &m.floorRun
			}
			one, err := timed(run, m.n, sides[side])
			if err != nil {
				return err
			}
			all[side] = append(all[side], one)
		}
	}
	m.floorConns = nil
	result.Hub, result.Floor = figures(all[0]), figures(all[1])
	result.CPURatio = medianOf(all[0], all[1], (*round).perDelivery)
	for i := range all[0] {
		result.Million.EventSeconds = max(result.Million.EventSeconds, all[0][i].wall.Seconds())
		result.Million.FloorSeconds = max(result.Million.FloorSeconds, all[1][i].wall.Seconds())
	}
	return nil
}

// timed calls work, which causes n deliveries. It returns the elapsed time and the CPU time until all
// deliveries have been counted.
func timed(run *memoryRun, n int, work func() error) (*round, error) {
	expected := run.expect(n)
	r, err := usage(func() error {
		err := work()
		if err == nil {
			expected.wait() // deliveries that never happen are counted as lost by check
		}
		return err
	})
	r.events, r.deliveries = 1, int64(n)-max(expected.left.Load(), 0)
	return r, err
}

// publish publishes the next event of a stream.
func (m *million) publish(stream uint32) error {
	data := make([]byte, m.size)
	stamp{stream: stream, seq: m.heads[stream]}.put(data)
	m.heads[stream]++
	_, err := m.hub.Publish(context.Background(), &hub.Event{Topic: topicOf(stream), Data: data})
	return err
}

// floor writes one event of the configured size to each of floorConns, without the hub. It is the baseline of the comparison.
func (m *million) floor() error {
	block := fmt.Sprintf("id: 00000000-00000\ntopic: %s\ndata: %0*d\n\n", topicOf(0), m.size, 0)
	frame := fmt.Appendf(nil, "%x\r\n%s\r\n", len(block), block)
	return m.each(func(i int) error {
		_, err := m.floorConns[i].TryWrite(frame)
		return err
	})
}

// ownEvents publishes one event to each stream except the shared one, and returns the deliveries per second.
func (m *million) ownEvents() (float64, error) {
	n := m.n - m.n/2
	one, err := timed(&m.run, n, func() error {
		for stream := range m.streams() {
			if err := m.publish(stream + 1); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return one.perSecond(), nil
}

// revoke revokes the token of the last subscriber, and returns the time until the hub has closed all connections with
// this token.
func (m *million) revoke() float64 {
	last := m.tokens.count() - 1
	n := int64(m.n - last*perToken)
	start := time.Now()
	m.tokens.revoke(last)
	m.access.Recheck()
	for m.run.closed.Load() < n && time.Since(start) < patience {
		time.Sleep(time.Millisecond)
	}
	return time.Since(start).Seconds()
}

// check adds the lost, duplicated and changed events of all subscribers to the result. The hub must be closed.
func (m *million) check(result *Result) {
	for _, i := range m.firsts() {
		heads := map[uint32]uint32{0: m.heads[0]}
		if stream := m.stream(i); stream > 0 {
			heads[stream] = m.heads[stream]
		}
		m.conns[i].checkKept(heads, &result.Tally)
	}
	for i := range m.conns {
		c := &m.conns[i]
		n := m.heads[0]
		if stream := m.stream(i); stream > 0 {
			n += m.heads[stream]
		}
		c.check(&m.conns[m.first(i)], n, &result.Tally)
		if c.state == memoryOpen {
			result.Million.CutByDrain++
		}
	}
}

// ownPSS returns the proportional set size of this process.
func ownPSS() (int64, error) { return pssOf(os.Getpid()) }
