package connection_test

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// BenchmarkTopicCores publishes 20 events per operation on one topic that has 8,000 subscribers. The
// peers do not read during an operation: the kernel's buffers hold the events, and the peers read them
// between two operations. Run it with -cpu 1,2 -count 4, and ignore the first result row, which the
// testing package measures with all cores. The benchmark needs 16,000 open files.
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
	measureCores(b, clients, events, func() {
		want := bench.counters.Delivered.Load() + subscribers
		for bench.publish(100, 1, benchSize); bench.counters.Delivered.Load() < want; {
			time.Sleep(100 * time.Microsecond)
		}
	})
}

// measureCores reports the deliveries per second, the CPU time per delivery, and the average number of
// busy cores. deliver sends one event to each client. An operation of the benchmark is n calls of
// deliver, after which the clients read the events.
func measureCores(b *testing.B, clients []net.Conn, n int, deliver func()) {
	buf := make([]byte, int64(n)*lineSize(benchSize))
	var cpu, wall time.Duration
	for b.Loop() {
		used, begin := processCPU(), time.Now()
		for range n {
			deliver()
		}
		cpu, wall = cpu+processCPU()-used, wall+time.Since(begin)
		b.StopTimer()
		for _, c := range clients {
			_, err := io.ReadFull(c, buf)
			require.NoError(b, err)
		}
		b.StartTimer()
	}
	deliveries := float64(b.N * len(clients) * n)
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

// BenchmarkTopicCoresFloor is the lower bound for BenchmarkTopicCores: it writes the same bytes to the
// same number of sockets without a hub, with one goroutine per core. With -cpu 1,2 it shows how much a
// second core helps on this machine.
func BenchmarkTopicCoresFloor(b *testing.B) {
	const subscribers, events = 8000, 20
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	b.Cleanup(func() { _ = listener.Close() })
	servers, clients := make([]syscall.RawConn, subscribers), make([]net.Conn, subscribers)
	for i := range clients {
		clients[i], err = net.Dial("tcp", listener.Addr().String())
		require.NoError(b, err)
		server, err := listener.Accept()
		require.NoError(b, err)
		servers[i], err = server.(*net.TCPConn).SyscallConn()
		require.NoError(b, err)
		b.Cleanup(func() { _, _ = clients[i].Close(), server.Close() })
	}
	line := bytes.Repeat([]byte("x"), int(lineSize(benchSize)))
	measureCores(b, clients, events, func() {
		var writers sync.WaitGroup
		for part := range slices.Chunk(servers, subscribers/runtime.GOMAXPROCS(0)) {
			writers.Go(func() {
				for _, s := range part {
					_ = s.Write(func(fd uintptr) bool {
						n, err := unix.Write(int(fd), line)
						return n == len(line) && err == nil
					})
				}
			})
		}
		writers.Wait()
	})
}
