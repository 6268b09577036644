package udp

import (
	"bytes"
	"cmp"
	"context"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/testkit"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// running is a source that reads a loopback socket, and a client that sends to it.
type running struct {
	*Source
	sender net.Conn
	stop   func() // ends Run and waits until it has returned
}

// listen opens a source with the given configuration. It sets required fields that are not set.
func listen(t *testing.T, cfg Config) *Source {
	t.Helper()
	cfg.Addr = cmp.Or(cfg.Addr, "127.0.0.1:0")
	if cfg.Format.Topic == "" {
		cfg.Format.Topic = "events"
	}
	if cfg.Publish == nil {
		cfg.Publish = publishNothing
	}
	s, err := Listen(cfg)
	require.NoError(t, err)
	return s
}

func publishNothing(context.Context, ...*hub.Event) (hub.Cursor, error) { return hub.Cursor{}, nil }

// start calls Run of a source in a goroutine, and connects a client to the source.
func start(t *testing.T, s *Source) *running {
	t.Helper()
	sender, err := net.Dial("udp", s.Addr().String())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, sender.Close())
	})
	t.Cleanup(stop)
	return &running{Source: s, sender: sender, stop: stop}
}

func (r *running) send(t *testing.T, datagrams ...string) {
	t.Helper()
	for _, d := range datagrams {
		_, err := r.sender.Write([]byte(d))
		require.NoError(t, err)
	}
}

func (r *running) eventually(t *testing.T, condition func(Stats) bool) {
	t.Helper()
	require.Eventually(t, func() bool { return condition(r.Stats()) }, 3*time.Minute, time.Millisecond)
}

func sum(dropped map[string]uint64) (n uint64) {
	for _, d := range dropped {
		n += d
	}
	return n
}

func TestDatagramsArePublishedInOrder(t *testing.T) {
	h, err := hub.New(hub.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	var got []string
	r := start(t, listen(t, Config{Publish: func(ctx context.Context, events ...*hub.Event) (hub.Cursor, error) {
		last, err := h.Publish(ctx, events...)
		for _, e := range events {
			got = append(got, e.Topic+" "+string(e.Data))
		}
		return last, err
	}}))
	longest := `"` + strings.Repeat("x", 65507-2) + `"` // the largest payload over IPv4
	r.send(t, `{"a": 1.0}`, `{"topic":"orders.eu","data":2}`, "3\n4\r\n\n5", longest, `{"topic":"b","text":true,"data":"six"}`)
	r.eventually(t, func(s Stats) bool { return s.Events == 7 })
	r.stop()
	require.Equal(t, []string{`events {"a": 1.0}`, "orders.eu 2", "events 3", "events 4", "events 5", "events " + longest, "b six"}, got)
	require.Equal(t, uint64(7), h.Stats().Published)
	require.Equal(t, uint64(5), r.Stats().Datagrams)
	require.Zero(t, sum(r.Stats().Dropped))
}

func TestEveryLossIsCountedUnderItsReason(t *testing.T) {
	var log bytes.Buffer
	var mu sync.Mutex
	unavailable := false
	r := start(t, listen(t, Config{
		MaxEventBytes: 10,
		Logger:        slog.New(slog.NewTextHandler(&log, nil)),
		Publish: func(_ context.Context, events ...*hub.Event) (hub.Cursor, error) {
			mu.Lock()
			defer mu.Unlock()
			if unavailable {
				return hub.Cursor{}, hub.ErrUnavailable
			}
			return hub.Cursor{}, nil
		},
	}))
	r.send(t,
		"", " \n ", "{odd", `1`+"\n{odd\n2", // malformed: 4, events: 2
		`"12345678"`, `"123456789"`, `{"topic":"a","data_base64":"MTIzNDU2Nzg5MDE="}`, // too_large: 2, events: 1
		`{"topic":"secret topic","data":1}`, `{"topic":"$sys","data":1}`, // topic: 2
		`{"topic":"a","type":"open","data":1}`, `{"topic":"a","key":"\n","data":1}`, `{"topic":"a","key":1,"data":1}`, // type: 3
	)
	r.eventually(t, func(s Stats) bool { return s.Datagrams == 12 && s.Events == 3 })
	mu.Lock()
	unavailable = true
	mu.Unlock()
	r.send(t, "1", "2\n3")
	r.eventually(t, func(s Stats) bool { return s.Dropped["engine"] == 3 })
	mu.Lock()
	unavailable = false
	mu.Unlock()
	r.send(t, "4")
	r.eventually(t, func(s Stats) bool { return s.Events == 4 })
	r.stop()
	want := Stats{Datagrams: 15, Events: 4, Dropped: map[string]uint64{
		"malformed": 4, "too_large": 2, "topic": 2, "type": 3, "overload": 0, "engine": 3, "kernel": 0,
		"sender": 0, "signature": 0, "replayed": 0,
	}}
	require.Equal(t, want, r.Stats())
	for reason, n := range want.Dropped {
		require.Equal(t, n > 0, strings.Contains(log.String(), "reason="+reason+" "), log.String())
	}
	require.Contains(t, log.String(), "sender=127.0.0.1:")
}

// If Publish blocks, the number of queued events is limited, and every event that does not fit into the
// queue is counted.
func TestQueueIsBoundedInEvents(t *testing.T) {
	release := make(chan struct{})
	r := start(t, listen(t, Config{Publish: func(context.Context, ...*hub.Event) (hub.Cursor, error) {
		<-release
		return hub.Cursor{}, nil
	}}))
	const each, datagrams = 30_000, 3
	for range datagrams {
		r.send(t, strings.Repeat("1\n", each))
	}
	const lost = datagrams*each - maxQueuedEvents
	r.eventually(t, func(s Stats) bool { return s.Dropped["overload"] == lost })
	require.Zero(t, r.Stats().Events)
	close(release)
	r.eventually(t, func(s Stats) bool { return s.Events == maxQueuedEvents })
	r.send(t, "1") // the queue has room again
	r.eventually(t, func(s Stats) bool { return s.Events == maxQueuedEvents+1 })
	require.Equal(t, uint64(lost), sum(r.Stats().Dropped))
}

func TestQueueIsBoundedInBytes(t *testing.T) {
	q := newQueue()
	e := func() *hub.Event { return &hub.Event{Topic: "a", Data: make([]byte, maxQueuedBytes/4-1)} }
	for range 4 {
		require.True(t, q.put(e(), ""))
	}
	require.False(t, q.put(&hub.Event{Topic: "a"}, ""))
	batch, _ := q.take()
	require.Len(t, batch, 4)
	require.False(t, q.put(e(), ""), "events that are being published must count toward the limits")
	q.done(batch)
	require.True(t, q.put(e(), ""))
	q.close()
	batch, _ = q.take()
	require.Len(t, batch, 1)
	batch, _ = q.take()
	require.Nil(t, batch)
}

func TestBatchesAreBoundedAndInOrder(t *testing.T) {
	q := newQueue()
	for i := range 2*maxBatch + 1 {
		require.True(t, q.put(&hub.Event{ID: hub.Cursor{Seq: uint64(i)}}, ""))
	}
	next := uint64(0)
	for _, n := range []int{maxBatch, maxBatch, 1} {
		batch, _ := q.take()
		require.Len(t, batch, n)
		for _, e := range batch {
			require.Equal(t, next, e.ID.Seq)
			next++
		}
		q.done(batch)
	}
}

func TestListenRefusesInvalidConfig(t *testing.T) {
	s := listen(t, Config{})
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Addr: "127.0.0.1:0"}, "topic"},
		{Config{Addr: "127.0.0.1:0", Format: Format{Topic: "a.>"}}, "topic"},
		{Config{Addr: "127.0.0.1", Format: Format{Topic: "a"}}, "port"},
		{Config{Addr: s.Addr().String(), Format: Format{Topic: "a"}}, "in use"},
		{Config{Addr: "127.0.0.1:0", Format: Format{Topic: "a"}, Skew: -1}, "skew: want 0s to 24h0m0s, got -1ns"},
		{Config{Addr: "127.0.0.1:0", Format: Format{Topic: "a"}, Skew: MaxSkew + 1}, "skew"},
		{Config{Addr: "127.0.0.1:0", Format: Format{Topic: "a"}, Secret: []byte{}}, "secret: want at least one byte"},
		{Config{Addr: "127.0.0.1:0", Format: Format{Topic: "a"}, Allow: make([]netip.Prefix, 1)}, "allow"},
	} {
		c.cfg.Publish = publishNothing
		_, err := Listen(c.cfg)
		require.ErrorContains(t, err, c.want)
	}
	_, err := Listen(Config{Addr: "127.0.0.1:0", Format: Format{Topic: "a"}})
	require.ErrorContains(t, err, "Publish are required")
	start(t, s).stop()
	require.Zero(t, s.Stats().Datagrams)
}

// lossScript contains the totals and samples that a lossLog reads, and records the lines that it logs.
type lossScript struct {
	mu     sync.Mutex // guards the fields below
	totals map[string]uint64
	log    bytes.Buffer

	samples map[string]*sample // the test sets a sample before it increases the total
}

func (l *lossScript) sample(reason string) *sample {
	defer delete(l.samples, reason)
	return l.samples[reason]
}

func (l *lossScript) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(b)
}

func (l *lossScript) dropped() map[string]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.totals)
}

func (l *lossScript) add(reason string, n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.totals[reason] += n
}

// lines advances the fake clock and returns the lines that were logged since its last call. It omits the
// beginning of each line up to "reason=".
func (l *lossScript) lines(after time.Duration) (all []string) {
	time.Sleep(after) // advances the fake clock
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.log.String()) {
		_, line, _ = strings.Cut(strings.TrimSpace(line), "reason=")
		all = append(all, line)
	}
	l.log.Reset()
	return all
}

func TestLossesAreLoggedOncePerPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := &lossScript{totals: map[string]uint64{"malformed": 0, "kernel": 0}}
		losses := lossLog{logger: slog.New(slog.NewTextHandler(script, nil)), dropped: script.dropped, sample: script.sample}
		stopped, ended := make(chan struct{}), make(chan struct{})
		go func() { defer close(ended); losses.run(stopped) }()
		require.Empty(t, script.lines(20*time.Second))
		from := netip.MustParseAddrPort("192.0.2.1:5000")
		script.samples = map[string]*sample{"malformed": sampleOf("malformed", from, []byte("{\x1b[2J"+strings.Repeat("x", maxSample)))}
		script.add("malformed", 3)
		require.Equal(t, []string{`malformed count=3 total=3 sender=192.0.2.1:5000 datagram="\"{\\x1b[2J` + strings.Repeat("x", maxSample-5) + `\""`}, script.lines(lossCheck))
		script.add("malformed", 1)
		script.add("kernel", 5)
		require.Equal(t, []string{"kernel count=5 total=5"}, script.lines(lossCheck))
		script.add("malformed", 1)
		require.Empty(t, script.lines(lossPeriod-2*lossCheck))
		require.Equal(t, []string{"malformed count=2 total=5"}, script.lines(lossCheck))
		require.Empty(t, script.lines(20*time.Second))
		script.add("malformed", 1)
		require.Equal(t, []string{"malformed count=1 total=6"}, script.lines(lossCheck))
		script.samples["signature"] = sampleOf("signature", from, []byte("secret"))
		script.add("signature", 1)
		require.Equal(t, []string{"signature count=1 total=1 sender=192.0.2.1:5000"}, script.lines(lossCheck))
		script.add("malformed", 1)
		close(stopped)
		<-ended
		require.Equal(t, []string{"malformed count=1 total=7"}, script.lines(0))
	})
}

// Each event of a signed datagram has its own ID. Events that another hub has already published are
// counted as replayed.
func TestSignedOnAnotherHub(t *testing.T) {
	secret, at := []byte("secret"), time.Now()
	var taken []string
	known := map[string]bool{}
	var mu sync.Mutex
	// The events of a datagram may be published in several batches.
	r := start(t, listen(t, Config{Secret: secret, Skew: time.Hour, PublishUnique: func(_ context.Context, ids []string, events ...*hub.Event) (repeated int, err error) {
		mu.Lock()
		defer mu.Unlock()
		require.Len(t, ids, len(events))
		taken = append(taken, ids...)
		for i, id := range ids {
			if known[id] {
				repeated++
			}
			if string(events[i].Data) == "7" {
				return repeated, &hub.PartialError{Stored: i - repeated, Err: hub.ErrUnavailable}
			}
		}
		return repeated, nil
	}}))
	first := wire.SignDatagram(nil, secret, at, []byte("1\n2\n3"))
	opened, err := wire.VerifyDatagram(secret, first)
	require.NoError(t, err)
	id := datagramID(&opened)
	r.send(t, string(first))
	r.eventually(t, func(s Stats) bool { return s.Events == 3 })
	mu.Lock()
	require.Equal(t, []string{id, id + ".1", id + ".2"}, taken)
	second := wire.SignDatagram(nil, secret, at, []byte("9\n8\n7"))
	opened, err = wire.VerifyDatagram(secret, second)
	require.NoError(t, err)
	known[datagramID(&opened)+".1"] = true // as if another hub had published the second event of the datagram
	mu.Unlock()
	r.send(t, string(second))
	r.eventually(t, func(s Stats) bool { return s.Events == 4 && s.Dropped["replayed"] == 1 && s.Dropped["engine"] == 1 })
}

func TestModes(t *testing.T) {
	require.Len(t, Modes(), 4)
	for i, want := range []Mode{Auto, JSON, Raw, Syslog} {
		mode, err := ParseMode(Modes()[i])
		require.NoError(t, err)
		require.Equal(t, want, mode)
	}
	_, err := ParseMode("xml")
	require.ErrorContains(t, err, "xml")
}
