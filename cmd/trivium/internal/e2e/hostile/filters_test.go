package hostile

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// filterAttacks use filters that are cheap for the client but expensive for the hub.
var filterAttacks = []attack{
	{"polls that search all retained events for 64 filters of 16 topic tokens each", searchingPolls},
	{"hundreds of subscribers with 64 filters of 16 topic tokens each", costlySubscribers},
	{"polls with a token whose rights consist of 1024 filters", costlyRights},
}

// deepPrefix is the first 15 parts of a topic. A topic has at most 16 parts (topic tokens).
const deepPrefix = "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o."

// deepFilters returns n filters of 16 topic tokens each. The first 15 topic tokens of a filter match
// deepPrefix, by name or by wildcard. The last one is in no topic, so the filter matches no event.
func deepFilters(rng *rand.Rand, n int) []string {
	filters := make([]string, n)
	for i := range filters {
		tokens := strings.Split(deepPrefix, ".")
		for at := range len(tokens) - 1 {
			if rng.IntN(2) == 0 {
				tokens[at] = "*"
			}
		}
		tokens[len(tokens)-1] = "z"
		filters[i] = strings.Join(tokens, ".")
	}
	return filters
}

func topicsQuery(filters []string) string { return "topic=" + strings.Join(filters, "&topic=") }

// publishDeep publishes n events, each with its own topic.
func (f *testbed) publishDeep(t *testing.T, p *hubtest.Process, n int) {
	t.Helper()
	var body strings.Builder
	for i := range n {
		fmt.Fprintf(&body, `{"topic":"%s%d","data":%d}`+"\n", deepPrefix, i, i)
	}
	x := f.do(t, request{hub: p, line: "POST /publish", token: f.tokens["one"], header: []string{"Content-Type: application/x-ndjson"}, body: body.String()})
	require.Equal(t, http.StatusOK, x.status, x.body)
}

// cpu returns the processor time that the hub has used so far.
func (f *testbed) cpu(t *testing.T, p *hubtest.Process) time.Duration {
	t.Helper()
	return time.Duration(f.metric(t, p, "process_cpu_seconds_total") * float64(time.Second))
}

// searchingPolls runs two clients that share a token. They poll with each parameter that sets a start
// position: last, since and cursor. Meanwhile, the hub must publish and deliver events of another token.
func searchingPolls(t *testing.T, f *testbed) {
	p := f.serveAlone(t, "--retain-events", "12000")
	before := p.Resident()
	begin := f.do(t, request{hub: p, line: pollNow, token: f.tokens["one"]}).body
	f.publishDeep(t, p, 24_000) // retention removes the events of half of the topics
	_, cursor, _ := strings.Cut(begin, `"cursor":"`)
	cursor, _, _ = strings.Cut(cursor, `"`)

	rng := rand.New(rand.NewPCG(1, 2))
	var attack sync.WaitGroup
	var over sync.Once
	done := make(chan struct{})
	for range 2 {
		query := topicsQuery(deepFilters(rng, 64))
		attack.Go(func() {
			defer over.Do(func() { close(done) })
			for i := range 60 {
				start := []string{"last=1000", "since=9m", "cursor=" + cursor}[i%3]
				x := f.do(t, request{hub: p, line: "GET /poll?wait=0&" + start + "&" + query, token: f.tokens["one"]})
				assert.Equal(t, http.StatusOK, x.status, x.body)
				assert.Contains(t, x.body, `"events":[]`)
			}
		})
	}
	s := f.start(t, request{hub: p, line: "GET /sse?topic=victim", token: f.tokens["two"]})
	require.Equal(t, http.StatusOK, s.status)
	var took []time.Duration
	for attacked := true; attacked || len(took) < 10; {
		begin := time.Now()
		x := f.do(t, request{hub: p, line: "POST /publish/victim", token: f.tokens["two"], body: "1"})
		require.Equal(t, http.StatusOK, x.status, x.body)
		took = append(took, time.Since(begin))
		select {
		case <-done:
			attacked = false
		default:
		}
	}
	attack.Wait()
	for delivered := 0; delivered < len(took); {
		message, err := s.stream.Next()
		require.NoError(t, err)
		if message.Topic == "victim" {
			delivered++
		}
	}
	slices.Sort(took)
	t.Logf("%d publishes at the same time: median %v, p90 %v, most %v; resident: %d MiB before, %d MiB after",
		len(took), took[len(took)/2], took[len(took)*9/10], took[len(took)-1], before/hubtest.Mebibyte, p.Resident()/hubtest.Mebibyte)
}

// costlySubscribers measures the memory of 300 subscribers with expensive filters, and the
// processor time of a publish while they are subscribed.
func costlySubscribers(t *testing.T, f *testbed) {
	const subscribers, publishes = 300, 300
	p := f.serveAlone(t, "--max-filter-bytes-per-token", "4MiB")
	publish := func() time.Duration {
		before := f.cpu(t, p)
		for i := range publishes {
			x := f.do(t, request{hub: p, line: fmt.Sprintf("POST /publish/%s%d", deepPrefix, i), token: f.tokens["two"], body: "1"})
			require.Equal(t, http.StatusOK, x.status, x.body)
		}
		return (f.cpu(t, p) - before) / publishes
	}
	publish()
	alone, resident := publish(), p.Resident()
	rng := rand.New(rand.NewPCG(3, 4))
	subscribe := func() *exchange {
		return f.start(t, request{hub: p, line: "GET /sse?" + topicsQuery(deepFilters(rng, 64)), token: f.tokens["one"]})
	}
	for range subscribers {
		x := subscribe()
		require.Equal(t, http.StatusOK, x.status, x.body)
	}
	filters, beside := f.metric(t, p, "trivium_filter_bytes"), publish()
	t.Logf("filters of a subscriber: %.0f bytes; resident memory: %d MiB before, %d MiB after; CPU time of a publish: %v with the subscribers, %v without",
		filters/subscribers, resident/hubtest.Mebibyte, p.Resident()/hubtest.Mebibyte, beside, alone)
	require.Less(t, filters/subscribers, 10_000.)
	require.Less(t, p.Resident()-resident, int64(64*hubtest.Mebibyte), "growth of the hub's memory; 618 KB per subscriber would be more")
	require.Less(t, beside, 15*max(alone, 100*time.Microsecond))

	refused := subscribe()
	for tries := 0; refused.status == http.StatusOK && tries < 2000; tries++ {
		refused = subscribe()
	}
	require.Equal(t, http.StatusServiceUnavailable, refused.status)
	require.Contains(t, refused.body, "the filters of this token's subscribers may use at most 4194304 bytes")
	require.Positive(t, f.metric(t, p, `trivium_limited_total{limit="filter_bytes_per_token"}`))
	x := f.start(t, request{hub: p, line: "GET /sse?" + topicsQuery(deepFilters(rng, 64)), token: f.tokens["two"]})
	require.Equal(t, http.StatusOK, x.status, "the limit applies to each token separately")
}

// costlyRights compares the processor time of polls with two tokens: one whose rights have many
// filters, and one whose rights have a single filter.
func costlyRights(t *testing.T, f *testbed) {
	wide, plain := f.secret("wide-"+f.tokens["one"]), f.secret("plain-"+f.tokens["two"])
	filters := deepFilters(rand.New(rand.NewPCG(5, 6)), 1024)
	text := fmt.Sprintf("tokens:\n- name: wide\n  sha256: %x\n  subscribe: [%s]\n- name: plain\n  sha256: %x\n  subscribe: [%q]\n",
		sha256.Sum256([]byte(wide)), `"`+strings.Join(filters, `", "`)+`"`, sha256.Sum256([]byte(plain)), ">")
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	p := hubtest.Start(t, hubtest.Binary(t, append(hubtest.AnyPorts, "--tokens", path)...))
	polls := func(token, line string) time.Duration {
		const n = 200
		before := f.cpu(t, p)
		for range n {
			x := f.do(t, request{hub: p, line: line, token: token})
			require.Equal(t, http.StatusOK, x.status, x.body)
		}
		return (f.cpu(t, p) - before) / n
	}
	polls(plain, pollNow)
	one, all := polls(plain, pollNow+"&topic=a"), polls(wide, pollNow)
	t.Logf("a poll for 1024 filters takes %v of the processor, for one %v", all, one)
	require.Less(t, all, 20*max(one, 100*time.Microsecond))
}
