package hubs

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/decode"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// embedded starts a hub with the embedded engine and the given store directory.
func embedded(t *testing.T, store string, args ...string) *hubtest.Process {
	t.Helper()
	args = append([]string{"--auth", "none", "--engine", "embedded", "--store", store, "--log-level", "info"}, args...)
	return hubtest.Start(t, hubtest.Binary(t, append(hubtest.AnyPorts, args...)...))
}

// After a restart, a subscriber can resume with a cursor from before the restart. While a process uses
// a store, a second process with the same store exits with an error.
func TestRestartKeepsCursors(t *testing.T) {
	t.Parallel()
	store := t.TempDir()
	p := embedded(t, store)
	first := hubtest.IDOf(t, p.Publish("application/json", `{"topic":"a","data":1}`))
	p.Publish("application/json", `[{"topic":"b","data":2},{"topic":"a","data":3}]`)
	for dropped := uint64(0); p.Stats().UDP.Events == 0; dropped = p.Stats().UDP.Dropped["engine"] { // repeated if the engine dropped the event because the disk was slow
		p.Datagram(`{"topic":"a","data":4}`)
		require.Eventually(t, func() bool { s := p.Stats().UDP; return s.Events > 0 || s.Dropped["engine"] > dropped }, hubtest.Patience, 10*time.Millisecond)
	}
	stream := p.SSE("cursor=" + first)
	for _, want := range []string{"2", "3", "4"} {
		next, err := stream.Next()
		require.NoError(t, err)
		require.Equal(t, want, next.Data)
	}
	status, text := p.Request(http.MethodGet, "http://"+p.HTTP+"/readyz", "", "")
	require.Equal(t, http.StatusOK, status, text)

	second := hubtest.Binary(t, append(hubtest.AnyPorts, "--engine", "embedded", "--store", store)...)
	out, err := second.CombinedOutput()
	require.Error(t, err)
	require.Equal(t, 1, second.ProcessState.ExitCode())
	require.Contains(t, string(out), "is in use by another process")

	p.Signal(syscall.SIGTERM)
	code, _ := p.Wait()
	require.Zero(t, code, p.Log())
	p = embedded(t, store)
	answer := p.Poll("wait=50&topic=a&cursor=" + first)
	require.Nil(t, answer.Gap)
	require.Len(t, answer.Events, 2)
	require.Equal(t, first, p.Poll("wait=0&last=4").Events[0].ID.String())
}

// loadPublisher publishes single events and arrays of events until the hub's process ends, and records
// the acknowledged events.
type loadPublisher struct {
	p     *hubtest.Process
	round int

	mu    sync.Mutex
	acked map[string]string // data of the acknowledged events, by ID
}

func (l *loadPublisher) run(publisher int) {
	for n := 0; ; n++ {
		data := func(i int) string { return fmt.Sprintf("%d.%d.%d.%d", l.round, publisher, n, i) }
		size, body := 1, ""
		switch publisher {
		case 0:
			body = fmt.Sprintf(`{"topic":"k.%d","data":%q}`, n%7, data(0))
		default:
			size = 2 + n%9
			var list []string
			for i := range size {
				list = append(list, fmt.Sprintf(`{"topic":"k.%d","data":%q}`, i, data(i)))
			}
			body = "[" + strings.Join(list, ",") + "]"
		}
		r, err := http.NewRequest(http.MethodPost, "http://"+l.p.HTTP+"/publish", strings.NewReader(body))
		if err != nil {
			return
		}
		r.Header.Set("Content-Type", "application/json")
		response, err := l.p.Client.Do(r)
		if err != nil {
			return
		}
		var receipt struct{ ID string }
		err = json.NewDecoder(response.Body).Decode(&receipt)
		response.Body.Close()
		if response.StatusCode == http.StatusServiceUnavailable { // the disk is slow; the events may or may not be in the log
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if err != nil || response.StatusCode != http.StatusOK {
			return
		}
		epoch, last, _ := strings.Cut(receipt.ID, "-")
		seq, err := strconv.ParseUint(last, 10, 64)
		if err != nil {
			return
		}
		l.mu.Lock()
		for i := range size {
			l.acked[fmt.Sprint(epoch, "-", seq-uint64(size-1-i))] = strconv.Quote(data(i))
		}
		l.mu.Unlock()
	}
}

// follow reads a stream until its connection is lost, and returns the data of the received events, by ID.
func (l *loadPublisher) follow(stream *decode.SSEDecoder) map[string]string {
	seen := map[string]string{}
	for {
		next, err := stream.Next()
		if err != nil {
			return seen
		}
		if next.Topic != "" {
			seen[next.ID] = next.Data
		}
	}
}

// The test kills the hub repeatedly while clients publish. After each restart, all acknowledged events
// are in the log, every cursor is valid, and no ID is assigned to a second event. This includes the
// IDs of events that were delivered but not acknowledged.
func TestKillLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("the test restarts a hub many times, which takes a long time")
	}
	t.Parallel()
	const stores = 4 // number of stores that are tested in parallel
	rounds := 20
	if os.Getenv("TRIVIUM_LONG") != "" {
		rounds = 1000
	}
	seed := seedOf(t)
	var all sync.WaitGroup
	for i := range stores {
		all.Go(func() {
			t.Run(fmt.Sprint("store", i), func(t *testing.T) {
				killAgain(t, rand.New(rand.NewPCG(seed, uint64(i))), rounds/stores)
			})
		})
	}
	all.Wait()
}

// seedOf returns the seed in the variable TRIVIUM_SEED, or a random seed if it is not set. It logs the seed.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("TRIVIUM_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("TRIVIUM_SEED=%d", seed)
	return seed
}

func killAgain(t *testing.T, rng *rand.Rand, rounds int) {
	store, known, cursor, epoch := t.TempDir(), map[string]string{}, "", ""
	begin := func() *hubtest.Process {
		return embedded(t, store, "--retain-events", "10000000", "--retain-bytes", "10GiB")
	}
	for round := range rounds {
		p := begin()
		if cursor == "" {
			cursor = p.Poll("wait=0").Cursor
			epoch, _, _ = strings.Cut(cursor, "-")
		}
		cursor = catchUp(p, cursor, known)
		require.True(t, strings.HasPrefix(cursor, epoch), "the epoch is unchanged after a kill")
		l := &loadPublisher{p: p, round: round, acked: map[string]string{}}
		stream := p.SSE("cursor=" + cursor)
		seen := make(chan map[string]string, 1)
		go func() { seen <- l.follow(stream) }()
		var publishers sync.WaitGroup
		for i := range 3 {
			publishers.Go(func() { l.run(i) })
		}
		require.Eventually(t, func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return len(l.acked) > 1
		}, hubtest.Patience, time.Millisecond)
		time.Sleep(time.Duration(rng.IntN(150)) * time.Millisecond) // time for the publishers to publish
		p.Signal(syscall.SIGKILL)
		publishers.Wait()
		p.Wait()
		for _, more := range []map[string]string{l.acked, <-seen} {
			for id, data := range more {
				before, again := known[id]
				require.True(t, !again || before == data, "the event %s was %s before and is %s now", id, before, data)
				known[id] = data
			}
		}
	}
	all := map[string]string{}
	catchUp(begin(), epoch+"-0", all)
	for id, data := range known {
		require.Equal(t, data, all[id], "data of the event %s, which was acknowledged or delivered", id)
	}
	t.Logf("%d events known, %d in the log", len(known), len(all))
	require.Greater(t, len(known), rounds)
}

// catchUp reads all events after the cursor and adds them to known, which maps IDs to data. It requires
// that no event differs from a known event with the same ID, and returns the newest cursor.
func catchUp(p *hubtest.Process, cursor string, known map[string]string) string {
	p.T.Helper()
	begin := time.Now()
	for last := uint64(0); ; {
		answer := p.Poll("wait=2&max=1000&cursor=" + cursor) // contains no events if the hub is slow
		require.Nil(p.T, answer.Gap, "after %s", cursor)
		cursor = answer.Cursor
		for _, e := range answer.Events {
			require.Greater(p.T, e.ID.Seq, last)
			last = e.ID.Seq
			before, again := known[e.ID.String()]
			require.True(p.T, !again || before == string(e.Data), "the event %v was %s before and is %s now", e.ID, before, e.Data)
			known[e.ID.String()] = string(e.Data)
		}
		newest := p.Newest()
		if cursor == newest {
			return cursor
		}
		require.Less(p.T, time.Since(begin), hubtest.Patience, "the polls reach the newest event: they are at %s, the newest is %s", cursor, newest)
	}
}
