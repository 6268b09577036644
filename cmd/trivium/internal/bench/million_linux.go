package bench

import (
	"bytes"
	"fmt"
	"math"
	"net/netip"
	"os"
	"strconv"
	"time"
)

const (
	// millionPatience is the maximum time for all phases of the child process million.
	millionPatience = 15 * time.Minute
	// perAddress is the number of connections from one address of 127.0.0.0/8. Linux has about 28,000 ports per address.
	perAddress = 20_000
	// socketBudget is the assumed memory of one real connection, both ends together, in bytes. All real connections
	// together may take half of the available memory.
	socketBudget = 16 << 10
)

// million first measures as many real connections as the limit on open files allows. After that, it
// starts a child process that measures s.subscribers subscribers with in-memory connections.
func (r *runner) million(s spec) (*Result, error) {
	sockets, err := r.sockets(s)
	if err != nil {
		return nil, err
	}
	args := []string{"bench", "--child", ChildMillion, "--subscribers", strconv.Itoa(s.subscribers), "--size", strconv.Itoa(s.size),
		"--rounds", strconv.Itoa(s.rounds), "--duration", s.duration.String()}
	child, err := r.startWithin(millionPatience, &r.cores.all, nil, args...)
	if err != nil {
		return nil, err
	}
	child.stop()
	r.progress.step()
	result, measured := s.result(), child.Result
	result.Hub, result.Floor, result.CPURatio, result.Tally = measured.Hub, measured.Floor, measured.CPURatio, measured.Tally
	result.Million = measured.Million
	result.Million.Sockets, result.Million.SocketPSS, result.Million.SocketKernel = sockets.Sockets, sockets.SocketPSS, sockets.SocketKernel
	if result.Disturbed = measured.Disturbed; result.Disturbed {
		result.note("the bench got less than %.0f %% of the cores while it opened subscriptions, because other programs used them. With two cores to itself, it would open %.0f per second",
			100*enoughShare, 2e6/result.Million.OpenCPU)
	}
	result.note("the subscribers in memory were served by all cores; the real connections and their hub had one core each")
	return result, nil
}

// sockets measures the memory of real connections.
func (r *runner) sockets(s spec) (*Million, error) {
	// A hub reserves a tenth of its open files for connections that do not subscribe.
	files, err := allowFiles(s.subscribers + s.subscribers/9 + 2*spareFiles)
	if err != nil {
		return nil, fmt.Errorf("raise the limit on open files: %w", err)
	}
	s.subscribers = min(s.subscribers, files-files/10-2*spareFiles)
	if available := meminfo("MemAvailable"); available > 0 {
		s.subscribers = max(1, min(s.subscribers, int(available/2/socketBudget)))
	}
	d, err := r.hubSide(s, true, "--max-connections", strconv.Itoa(2*s.subscribers), "--max-connections-per-token", "0")
	if err != nil {
		return nil, err
	}
	defer d.close()
	d.spread = true
	if err := d.rehearse(s); err != nil {
		return nil, err
	}
	before, err := d.settledPSS(settleLook)
	if err != nil {
		return nil, err
	}
	kernel := kernelMemory()
	if err := d.open("the hub", s.transport, s.subscribers); err != nil {
		return nil, err
	}
	connected, err := d.settledPSS(settleLook)
	if err != nil {
		return nil, err
	}
	n := float64(s.subscribers)
	m := &Million{Sockets: s.subscribers, SocketPSS: float64(connected-before) / n}
	if kernel > 0 {
		m.SocketKernel = math.Max(0, float64(kernelMemory()-kernel)/n/2) // both ends are on this machine
	}
	return m, nil
}

// sourceAddress returns the loopback address from which connection i is opened. perAddress consecutive
// connections share one address.
func sourceAddress(i int) netip.Addr {
	block := i/perAddress + 1
	return netip.AddrFrom4([4]byte{127, byte(block >> 8), byte(block), 1})
}

// kernelMemory returns the kernel memory of this machine in bytes: slab memory that cannot be reclaimed, plus TCP socket
// buffers. It returns 0 if this is not known.
func kernelMemory() int64 {
	slab := meminfo("SUnreclaim")
	text, err := os.ReadFile("/proc/net/sockstat")
	if slab == 0 || err != nil {
		return 0
	}
	_, after, _ := bytes.Cut(text, []byte("\nTCP:"))
	line, _, _ := bytes.Cut(after, []byte("\n"))
	_, pages, _ := bytes.Cut(line, []byte(" mem "))
	n, err := strconv.ParseInt(string(bytes.TrimSpace(pages)), 10, 64)
	if err != nil {
		return 0
	}
	return slab + n*int64(os.Getpagesize())
}

// meminfo returns a value of /proc/meminfo in bytes, or 0 if it is not known.
func meminfo(name string) int64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	_, after, _ := bytes.Cut(text, []byte("\n"+name+":"))
	line, _, _ := bytes.Cut(after, []byte(" kB"))
	kib, _ := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64) // 0 if there is no such line
	return kib << 10
}
