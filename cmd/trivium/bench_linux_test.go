package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/bench"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/natstest"
)

// runBench runs trivium bench and returns its report.
func runBench(t *testing.T, args ...string) bench.Report {
	t.Helper()
	report, err := tryBench(t, args...)
	require.NoError(t, err)
	return report
}

// tryBench is like runBench, but returns an error if the command fails. The error contains the output of the command.
func tryBench(t *testing.T, args ...string) (report bench.Report, err error) {
	t.Helper()
	cmd := hubtest.Binary(t, append([]string{"bench", "--json", "--subscribers", "30", "--duration", "300ms"}, args...)...)
	// The benchmark must not pass variables that the user has set for a hub to the hub that it starts.
	cmd.Env = append(cmd.Env, "TRIVIUM_MAX_CONNECTIONS=1", "TRIVIUM_AUTH=none")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return report, fmt.Errorf("%w: %s%s", err, &stderr, out)
	}
	require.Empty(t, stderr.String())
	require.NoError(t, json.Unmarshal(out, &report))
	return report, nil
}

// The test runs each scenario with a few clients. The figures in the report must be consistent with each other.
func TestBenchFiguresAddUp(t *testing.T) {
	if testing.Short() {
		t.Skip("a bench takes a long time")
	}
	t.Parallel()
	results := map[string]int{
		bench.Fanout: 3, bench.Burst: 2, bench.Topics: 2, bench.Slow: 2, bench.Resume: 2, bench.Ingest: 4,
		bench.Scale: 6, bench.MillionSubscribers: 1,
	}
	measure := func(t *testing.T, results int, args ...string) {
		t.Parallel()
		svg := filepath.Join(t.TempDir(), "bench.svg")
		report := runBench(t, append(args, "--rate", "100", "--rounds", "1", "--svg", svg)...)
		require.Len(t, report.Results, results)
		for _, r := range report.Results {
			require.True(t, r.Clean(), "%+v", r)
			require.Zero(t, r.Gaps)
			checkFigures(t, r)
		}
		wellFormed(t, svg)
	}
	for _, scenario := range bench.Scenarios {
		switch scenario {
		case bench.Hubs, bench.Replay: // these scenarios require --engine; TestBenchEngine runs them
		case bench.Idle: // the measurement mostly waits, so one process per transport runs at the same time
			for _, transport := range []string{bench.SSE, bench.WebSocket, bench.LongPoll} {
				t.Run(scenario+"/"+transport, func(t *testing.T) {
					// During a shorter measurement, an idle hub on a busy machine may use no CPU time at all.
					measure(t, 1, scenario, "--transport", transport, "--duration", "2s")
				})
			}
		default:
			t.Run(scenario, func(t *testing.T) { measure(t, results[scenario], scenario) })
		}
	}
}

// The test measures each engine with a few events. The figures must be consistent with each other, and
// the benchmark must delete its files and streams.
func TestBenchEngine(t *testing.T) {
	if testing.Short() {
		t.Skip("a bench takes a long time")
	}
	t.Parallel()
	outside := natstest.Serve(t)
	require.Equal(t, []string{bench.Fanout, bench.Ingest, bench.Hubs, bench.Replay}, bench.EngineScenarios(bench.EngineNATS))
	embedded, nats := []string{"--engine", "embedded", "--transport"}, []string{"--engine", "nats"}
	t.Run("each", func(t *testing.T) { // returns when all parallel subtests have ended
		for _, tt := range []struct {
			name    string
			args    []string
			results int
			child   bool // the bench starts NATS
		}{
			{"embedded", append(embedded, "sse"), 1 + 4 + 1, false}, // all scenarios
			{"embedded: fanout", append(embedded, "websocket,longpoll", "fanout"), 2, false},
			{"nats: fanout, ingest", append(nats, "fanout", "ingest"), 3 + 4, true},
			{"nats: hubs, replay", append(nats, "hubs", "replay"), 3 + 3, true},
			{"nats server that was already running", append(nats, "--nats-url", outside.ClientURL(), "ingest", "hubs", "replay"), 4 + 3 + 3, false},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				store, svg := t.TempDir(), filepath.Join(t.TempDir(), "bench.svg")
				args := append(tt.args, "--rate", "100", "--rounds", "1", "--events", "2000", "--store", store, "--svg", svg)
				report, err := tryBench(t, args...)
				for again := 0; err != nil && again < 2; again++ {
					// A hub drops datagrams if NATS does not answer for 5 s, for example because other tests keep the
					// disk busy.
					t.Log(err)
					report, err = tryBench(t, args...)
				}
				require.NoError(t, err)
				require.Len(t, report.Results, tt.results)
				for _, r := range report.Results {
					require.True(t, r.Clean(), "%+v", r)
					require.Zero(t, r.Gaps)
					accountEngine(t, r, tt.child)
				}
				left, err := os.ReadDir(store)
				require.NoError(t, err)
				require.Empty(t, left)
				wellFormed(t, svg)
			})
		}
	})
	info, err := outside.Jsz(nil)
	require.NoError(t, err)
	require.Zero(t, info.Streams, "the bench has deleted its streams")
}

// With --tls and --http2, the report contains a result for each way to secure connections, compared with the same hub
// without TLS.
func TestBenchSecure(t *testing.T) {
	if testing.Short() {
		t.Skip("a bench takes a long time")
	}
	t.Parallel()
	for scenario, want := range map[string]map[string]int{
		bench.Fanout: {"sse ": 2, "sse tls": 1, "sse http2": 1, "longpoll ": 1, "longpoll tls": 1}, // each measurement with TLS also has a result without TLS
		bench.Idle:   {"sse ": 1, "sse tls": 1, "sse http2": 1},
	} {
		t.Run(scenario, func(t *testing.T) {
			t.Parallel()
			transports := "sse,longpoll"
			if scenario == bench.Idle {
				transports = "sse"
			}
			report := runBench(t, scenario, "--tls", "--http2", "--transport", transports, "--rate", "100", "--rounds", "1")
			ways := map[string]int{}
			for _, r := range report.Results {
				require.True(t, r.Clean(), "%+v", r)
				ways[r.Transport+" "+r.Secure]++
				require.Equal(t, scenario == bench.Fanout && r.Secure != "", r.PlainRatio > 0)
				if scenario == bench.Fanout {
					require.EqualValues(t, 30*30, r.Hub.Deliveries)
					require.EqualValues(t, 30*30, r.Floor.Deliveries)
				}
			}
			require.Equal(t, want, ways)
		})
	}
}

// accountEngine compares the figures of a result with each other. The parameter nats is true if the
// benchmark has started a NATS server.
func accountEngine(t *testing.T, r *bench.Result, nats bool) {
	t.Helper()
	require.Positive(t, r.Hub.CPUPerDelivery)
	if r.Scenario == bench.Ingest && r.Floor == nil { // ingest over the network has no baseline
		require.Positive(t, r.Hub.DeliveriesPerSecond)
		return
	}
	require.Positive(t, r.CPURatio)
	if r.Scenario == bench.Ingest {
		for _, f := range []*bench.Figures{r.Hub, r.Floor} {
			require.Positive(t, f.Events)
			require.Positive(t, f.DeliveriesPerSecond)
		}
		require.Positive(t, r.RateRatio)
		return
	}
	if r.Scenario == bench.Replay {
		for _, f := range []*bench.Figures{r.Hub, r.Floor} {
			require.EqualValues(t, 2000, f.Events)
			require.EqualValues(t, 2000, f.Deliveries)
			require.Positive(t, f.CPUPerDelivery)
			require.Positive(t, f.DeliveriesPerSecond)
			require.Equal(t, nats, f.NATSPerEvent > 0)
		}
		require.Positive(t, r.RateRatio)
		// To replay 2,000 events, the hub reads the log at least twice. Each read takes a round trip to
		// NATS, so the replay takes at least four times the delay in one direction.
		require.LessOrEqual(t, r.Hub.DeliveriesPerSecond*4*r.Delay/1000, 2000.0)
		return
	}
	require.EqualValues(t, 30, r.Hub.Events)
	require.EqualValues(t, 30*30, r.Hub.Deliveries)
	require.LessOrEqual(t, r.Hub.P50, r.Hub.P99)
	require.Equal(t, nats, r.Hub.NATSPerEvent > 0)
	if r.Scenario == bench.Fanout {
		require.Equal(t, "memory", r.Against)
		require.EqualValues(t, 30*30, r.Floor.Deliveries)
		require.Positive(t, r.Hub.CPUPerPublish)
		require.Positive(t, r.Floor.CPUPerPublish)
		require.Zero(t, r.Floor.NATSPerEvent)
	}
}

// checkFigures compares the figures of a result with each other. The run had 30 subscribers, and 30
// events if it had a fixed rate.
func checkFigures(t *testing.T, r *bench.Result) {
	t.Helper()
	switch r.Scenario {
	case bench.Fanout, bench.Topics:
		fan := int64(30)
		if r.Scenario == bench.Topics {
			fan = 1
		}
		for _, f := range []*bench.Figures{r.Hub, r.Floor} {
			require.EqualValues(t, 30, f.Events)
			require.Equal(t, 30*fan, f.Deliveries)
			require.Positive(t, f.CPUPerDelivery)
			require.LessOrEqual(t, f.P50, f.P99)
			require.LessOrEqual(t, f.P99, f.Max)
		}
		require.Positive(t, r.CPURatio)
	case bench.Scale:
		for _, f := range []*bench.Figures{r.Hub, r.Floor} {
			require.EqualValues(t, 30, f.Events)
			require.EqualValues(t, 30*r.Subscribers, f.Deliveries)
			require.LessOrEqual(t, f.P50, f.P99)
		}
	case bench.Burst:
		require.Equal(t, r.Hub.Events*30, r.Hub.Deliveries)
		require.Positive(t, r.CPURatio)
	case bench.Slow:
		require.EqualValues(t, 30*30, r.Hub.Deliveries)
		require.Positive(t, r.P99Ratio)
	case bench.Idle:
		require.Positive(t, r.Memory.Before)
		require.Positive(t, r.Memory.RestCPU)
	case bench.Resume:
		require.Positive(t, r.CaughtUpSeconds)
		require.GreaterOrEqual(t, r.Hub.Deliveries, int64(30)) // at least the events published during the measurement
	case bench.MillionSubscribers:
		require.Equal(t, 30, r.Million.Sockets)
		require.Equal(t, 2, r.Million.Groups)
		require.EqualValues(t, 30, r.Hub.Deliveries)
		require.EqualValues(t, 30, r.Floor.Deliveries)
	case bench.Ingest:
		require.Positive(t, r.Hub.Events)
		require.Positive(t, r.Hub.CPUPerDelivery)
	}
}

func wellFormed(t *testing.T, path string) {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	for decoder := xml.NewDecoder(file); ; {
		_, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
	}
}

// With --target, the benchmark measures a hub that is already running.
func TestBenchTarget(t *testing.T) {
	if testing.Short() {
		t.Skip("a bench takes a long time")
	}
	t.Parallel()
	p := hubtest.Start(t, hubtest.Binary(t, hubtest.AnyPorts...))
	for _, way := range [][]string{{"--publish", "http"}, {"--udp", p.UDP}} {
		report := runBench(t, append([]string{"fanout", "--rounds", "1", "--target", "http://" + p.HTTP, "--token", p.Token}, way...)...)
		require.Len(t, report.Results, 3)
		for _, r := range report.Results {
			require.True(t, r.Clean())
			require.EqualValues(t, 30*30, r.Hub.Deliveries)
			require.Zero(t, r.CPURatio)
			require.Positive(t, r.P99Ratio)
		}
	}
	require.Zero(t, p.Stats().Gaps["expired"])
}

// A signal ends the benchmark and its child processes, even if the signal is SIGKILL.
func TestBenchInterrupted(t *testing.T) {
	if testing.Short() {
		t.Skip("a bench takes a long time")
	}
	t.Parallel()
	for _, engine := range []struct {
		args     []string
		children int
	}{{nil, 2}, {[]string{"--engine", "nats"}, 3}} {
		for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
			interrupt(t, signal, engine.children, engine.args...)
		}
	}
}

func interrupt(t *testing.T, signal syscall.Signal, n int, args ...string) {
	t.Helper()
	store := t.TempDir()
	if n > 2 {
		args = append(args, "--store", store)
	}
	cmd := hubtest.Binary(t, append([]string{"bench", "fanout", "--subscribers", "30", "--duration", "1m"}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	var children []string
	require.Eventually(t, func() bool {
		children = childrenOf(t, cmd)
		return len(children) == n
	}, hubtest.Patience, 10*time.Millisecond)
	require.NoError(t, cmd.Process.Signal(signal))
	require.Error(t, cmd.Wait())
	if signal != syscall.SIGKILL {
		require.Equal(t, exitFailed, cmd.ProcessState.ExitCode(), out.String())
		require.Contains(t, out.String(), "signal received")
		left, err := os.ReadDir(store)
		require.NoError(t, err)
		require.Empty(t, left)
	}
	require.Eventually(t, func() bool {
		for _, child := range children {
			if state, err := os.ReadFile("/proc/" + child + "/stat"); err == nil && !strings.Contains(string(state), ") Z ") {
				return false
			}
		}
		return true
	}, hubtest.Patience, 10*time.Millisecond)
}

// childrenOf returns the process IDs of a command's child processes.
func childrenOf(t *testing.T, cmd *exec.Cmd) []string {
	t.Helper()
	lists, err := filepath.Glob("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/task/*/children")
	require.NoError(t, err)
	var all []string
	for _, list := range lists {
		text, _ := os.ReadFile(list) // the file does not exist if the thread has ended
		all = append(all, strings.Fields(string(text))...)
	}
	return all
}
