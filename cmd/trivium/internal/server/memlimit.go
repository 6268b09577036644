package server

import (
	"errors"
	"log/slog"
	"math"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// gcPercent is the garbage collector's target (GOGC) unless the environment sets GOGC. Most of a
// hub's heap is the state of idle connections, which is never garbage. Go's default of 100 would
// let the heap grow to twice that size.
const gcPercent = 50

// MemoryShare is the part of a container's memory limit that the Go runtime may use. The kernel also counts socket
// buffers, the page cache and the pages of the binary toward the limit.
const MemoryShare = 0.85

// LimitMemory sets the runtime's memory limit from the limit of the process's cgroup. Without a memory limit the heap
// may grow to 1.5 times the memory in use, and the kernel would kill the process. GOGC and GOMEMLIMIT in the
// environment take precedence.
func LimitMemory(log *slog.Logger) {
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(gcPercent)
	}
	if text, set := os.LookupEnv("GOMEMLIMIT"); set {
		log.Info("memory limit taken from GOMEMLIMIT", "limit", text)
		return
	}
	limit, err := memlimit.Set(memlimit.WithRatio(MemoryShare))
	switch {
	case errors.Is(err, memlimit.ErrCgroupsNotSupported), errors.Is(err, memlimit.ErrNoCgroup):
		log.Debug("no memory limit set: the process is in no cgroup")
	case err != nil:
		log.Warn("no memory limit set: the cgroup's limit cannot be read; set GOMEMLIMIT", "error", err.Error())
	case limit == math.MaxInt64:
		log.Debug("no memory limit set: the cgroup has no limit")
	default:
		log.Info("memory limit derived from the cgroup", "bytes", limit, "share", MemoryShare)
	}
}
