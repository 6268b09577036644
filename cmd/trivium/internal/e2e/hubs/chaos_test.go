//go:build unix

package hubs

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/natstest"
	"github.com/trivium-hub/trivium/hub/testkit"
)

const clusterSize = 3 // number of NATS servers, and of hubs

// chaos is a cluster of NATS servers with hubs, in which the test causes faults. It records which
// events the hubs have acknowledged and which events each subscriber has received.
type chaos struct {
	t       *testing.T
	rng     *rand.Rand // used only by the test's goroutine
	places  [clusterSize]natstest.Place
	nats    [clusterSize]*exec.Cmd
	proxies [clusterSize][clusterSize]*toxiproxy.Proxy // index: hub, server
	hubArgs [clusterSize][]string
	hubs    [clusterSize]*hubtest.Process
	where   [clusterSize]string // addresses of the hubs
	client  *http.Client
	begin   string // cursor at the start of the test
	same    string // cursor up to which all hubs were found to return the same events
	stop    context.Context

	mu    sync.Mutex
	acked map[string]bool // key: data of an acknowledged event
	seen  [][]observation // index: subscriber
}

type observation struct {
	seq  uint64
	data string
}

func startChaos(t *testing.T, rng *rand.Rand, subscribers int) *chaos {
	c := &chaos{
		t: t, rng: rng, acked: map[string]bool{}, seen: make([][]observation, subscribers),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 20}, Timeout: hubtest.Patience},
	}
	ports := testkit.FreePorts(t, 3*clusterSize)
	proxyPorts := testkit.FreePorts(t, clusterSize*clusterSize) // fixed, because a proxy that is started again must have the same port
	quiet := zerolog.Nop()
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), quiet)
	for i := range clusterSize {
		c.places[i] = natstest.Place{
			Name: fmt.Sprint("n", i), Port: ports[i], Peers: ports[clusterSize : 2*clusterSize], Self: i, Store: t.TempDir(),
			Rights: filepath.Join(t.TempDir(), "denied.json"),
		}
		require.NoError(t, os.WriteFile(c.places[i].Rights, []byte("[]"), 0o600))
		c.startNATS(i)
		t.Cleanup(func() { c.killNATS(i) })
	}
	for i := range clusterSize {
		var urls []string
		for j := range clusterSize {
			p := toxiproxy.NewProxy(api, fmt.Sprintf("%d-%d", i, j), fmt.Sprintf("127.0.0.1:%d", proxyPorts[i*clusterSize+j]), fmt.Sprintf("127.0.0.1:%d", ports[j]))
			require.NoError(t, p.Start())
			t.Cleanup(p.Stop)
			c.proxies[i][j] = p
			urls = append(urls, "nats://"+c.places[j].User(natstest.HubUser)+p.Listen)
		}
		c.where[i] = fmt.Sprintf("127.0.0.1:%d", ports[2*clusterSize+i])
		c.hubArgs[i] = []string{
			"serve", "--http", c.where[i], "--udp", "off", "--admin", "off", "--auth", "none", "--heartbeat", "500ms", "--read-timeout", "10m",
			"--engine", "nats", "--nats-url", strings.Join(urls, ","), "--replicas", "3", "--log-format", "json",
			"--retain-events", "1000000", "--retain-bytes", "1GiB",
			"--retain-age", "24h", // so that no events expire while a server's clock is ahead
		}
		c.startHub(i)
	}
	t.Cleanup(func() {
		for i, hub := range c.hubs {
			if t.Failed() {
				t.Logf("the log of hub %d:\n%s", i, hub.Log())
			}
		}
	})
	c.begin = c.hubs[0].Poll("wait=0").Cursor
	c.same = c.begin
	return c
}

func (c *chaos) startNATS(i int) {
	c.nats[i] = natstest.Start(c.t, c.places[i])
}

func (c *chaos) killNATS(i int) {
	_ = c.nats[i].Process.Kill()
	_ = c.nats[i].Wait()
}

func (c *chaos) startHub(i int) { c.hubs[i] = hubtest.Start(c.t, hubtest.Binary(c.t, c.hubArgs[i]...)) }

// publish publishes events with an idempotency key. It tries randomly chosen hubs until one of them has accepted the
// events.
func (c *chaos) publish(rng *rand.Rand, key string, data ...string) {
	var list []string
	for _, d := range data {
		list = append(list, fmt.Sprintf(`{"topic":"c.%d","data":%q}`, rng.IntN(5), d))
	}
	body := list[0]
	if len(list) > 1 {
		body = "[" + strings.Join(list, ",") + "]"
	}
	for {
		r, err := http.NewRequest(http.MethodPost, "http://"+c.where[rng.IntN(clusterSize)]+"/publish", strings.NewReader(body))
		if err != nil {
			c.t.Error(err)
			return
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", key)
		begin := time.Now()
		response, err := c.client.Do(r)
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				break
			}
			if took := time.Since(begin); took > 5*time.Second {
				c.t.Logf("  publish of %s: status %s after %v", key, response.Status, took.Round(time.Millisecond))
			}
			if response.StatusCode < 409 {
				c.t.Errorf("publish failed with status %s", response.Status)
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range data {
		c.acked[d] = true
	}
}

func (c *chaos) publisher(rng *rand.Rand, name int) {
	for n := 0; c.stop.Err() == nil; n++ {
		data := make([]string, 1+max(0, n%5-2))
		for i := range data {
			data[i] = fmt.Sprintf("p%d.%d.%d", name, n, i)
		}
		c.publish(rng, fmt.Sprintf("p%d.%d", name, n), data...)
		// A token may use at most 166 idempotency keys per second, averaged over two minutes.
		time.Sleep(time.Duration(rng.IntN(50)) * time.Millisecond)
	}
}

// subscriber reads over one transport from randomly chosen hubs. After each error it resumes with
// its cursor.
func (c *chaos) subscriber(rng *rand.Rand, i int) {
	s := &movingSubscriber{chaos: c, i: i, cursor: c.begin}
	transportReaders := []func(context.Context, string) error{s.poll, s.sse, s.websocket}
	for c.stop.Err() == nil {
		ctx, cancel := context.WithTimeout(c.stop, time.Duration(200+rng.IntN(2000))*time.Millisecond)
		// An error is ignored, because the next iteration may use another hub.
		_ = transportReaders[i%len(transportReaders)](ctx, c.where[rng.IntN(clusterSize)])
		cancel()
		time.Sleep(20 * time.Millisecond)
	}
}

// TestChaos causes faults of NATS servers, hubs and the connections between them. No acknowledged
// event may be lost, duplicated or delivered out of order. After each fault is repaired, every
// subscriber must receive all events; if TRIVIUM_LONG is set, within ten seconds, which requires an
// otherwise idle machine.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("tests with a cluster take a long time")
	}
	t.Parallel()
	steps, hold, within := 4, 1000, hubtest.Patience
	if os.Getenv("TRIVIUM_LONG") != "" {
		steps, hold, within = 40, 12_000, 10*time.Second
	}
	seed := seedOf(t)
	const subscribers, publishers = 6, 3
	c := startChaos(t, rand.New(rand.NewPCG(seed, 0)), subscribers)
	var cancel func()
	c.stop, cancel = context.WithCancel(t.Context())
	var publishing, reading sync.WaitGroup
	for i := range publishers {
		publishing.Go(func() { c.publisher(rand.New(rand.NewPCG(seed, uint64(1+i))), i) })
	}
	for i := range subscribers {
		reading.Go(func() { c.subscriber(rand.New(rand.NewPCG(seed, uint64(100+i))), i) })
	}
	order := c.rng.Perm(len(faults))
	for step := 0; step < steps && !t.Failed(); step++ {
		faults[order[step%len(order)]](c, time.Duration(500+c.rng.IntN(hold))*time.Millisecond)
		healed := time.Now()
		marker := fmt.Sprint("healed.", step)
		c.publish(c.rng, marker, marker)
		t.Logf("  published %v after the repair", time.Since(healed).Round(time.Millisecond))
		for !c.allHave(marker) {
			require.Less(t, time.Since(healed), within, "all subscribers receive all events soon after the repair")
			time.Sleep(10 * time.Millisecond)
		}
		t.Logf("  all subscribers are up to date %v after the repair", time.Since(healed).Round(time.Millisecond))
		c.compareLogs()
	}
	cancel()
	publishing.Wait()
	reading.Wait()
	c.checkResults()
	c.client.CloseIdleConnections()
}

func (c *chaos) allHave(data string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, seen := range c.seen {
		if !slices.ContainsFunc(seen[max(0, len(seen)-5000):], func(s observation) bool { return s.data == data }) {
			return false
		}
	}
	return true
}

// containsAll reports whether every key of the second set is in the first one.
func containsAll(all, part map[string]bool) bool {
	for key := range part {
		if !all[key] {
			return false
		}
	}
	return true
}

// checkResults requires that all subscribers have received the same events, up to the newest event that all of them have
// received, and that every acknowledged event is in the log exactly once.
func (c *chaos) checkResults() {
	common := len(c.seen[0])
	for _, seen := range c.seen {
		common = min(common, len(seen))
	}
	require.Greater(c.t, common, 20)
	counts := map[string]int{}
	for _, s := range c.seen[0][:common] {
		counts[s.data]++
		require.Equal(c.t, 1, counts[s.data], "%s was delivered once", s.data)
	}
	for i, seen := range c.seen {
		require.Equal(c.t, c.seen[0][:common], seen[:common], "subscribers 0 and %d received the same events", i)
	}
	// Every acknowledged event must be in the log, even if not all subscribers have received it yet.
	all := map[string]bool{}
	cursor := c.begin
	for begin := time.Now(); ; {
		answer := c.hubs[0].Poll("wait=3&max=1000&cursor=" + cursor)
		require.Nil(c.t, answer.Gap)
		if len(answer.Events) == 0 && (containsAll(all, c.acked) || time.Since(begin) > hubtest.Patience) {
			break // the poll has returned no more events, and all acknowledged ones were read or the time is up
		}
		cursor = answer.Cursor
		for _, e := range answer.Events {
			data, err := strconv.Unquote(string(e.Data))
			require.NoError(c.t, err)
			require.False(c.t, all[data], "%s is in the log once", data)
			all[data] = true
		}
	}
	for data := range c.acked {
		require.True(c.t, all[data], "%s, which was acknowledged, is in the log", data)
	}
	c.t.Logf("%d events acknowledged, %d in the log, %d read by all subscribers", len(c.acked), len(all), common)
}
