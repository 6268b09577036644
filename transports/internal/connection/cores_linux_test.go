package connection_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// BenchmarkTopicCores delivers events to 8,000 sockets on one topic, one event at a time. The peers do not read meanwhile: the
// kernel's buffers hold the events, and are emptied between two operations. Compare the rows of -cpu 1,2. The benchmark
// needs 16,000 open files.
func BenchmarkTopicCores(b *testing.B) {
	const subscribers, events = 8000, 20
	bench := newBench(b, 0, longTimeout)
	bench.fast = true
	clients := make([]net.Conn, subscribers)
	for i := range clients {
		_, clients[i] = bench.connect()
		_, err := io.CopyN(io.Discard, clients[i], int64(len("open\n")))
		require.NoError(b, err)
		require.NoError(b, clients[i].SetDeadline(time.Time{}))
	}
	buf := make([]byte, events*lineOf(benchSize))
	var cpu, wall time.Duration
	for b.Loop() {
		used, begin := processCPU(), time.Now()
		for range events {
			want := bench.counters.Delivered.Load() + subscribers
			for bench.publish(100, 1, benchSize); bench.counters.Delivered.Load() < want; {
				time.Sleep(100 * time.Microsecond)
			}
		}
		cpu, wall = cpu+processCPU()-used, wall+time.Since(begin)
		b.StopTimer()
		for _, c := range clients {
			_, err := io.ReadFull(c, buf)
			require.NoError(b, err)
		}
		b.StartTimer()
	}
	deliveries := float64(b.N * subscribers * events)
	b.ReportMetric(deliveries/wall.Seconds(), "deliveries/s")
	b.ReportMetric(float64(cpu.Microseconds())/deliveries, "cpu-us/delivery")
	b.ReportMetric(cpu.Seconds()/wall.Seconds(), "cores")
}

// processCPU returns the CPU time of this process.
func processCPU() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u) // never fails
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
