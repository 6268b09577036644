package server

import (
	"errors"
	"log/slog"
	"math"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// gcPercent is the garbage collector's target percentage (see GOGC), unless the environment sets GOGC.
// Most of a hub's heap is the state of idle connections, which does not become garbage. With Go's
// default of 100, the heap could grow to twice that size.
const gcPercent = 50

// MemoryShare is the part of a container's memory limit that the Go runtime may use. The rest is needed because the
// kernel also counts socket buffers, the page cache and the pages of the binary.
const MemoryShare = 0.85

// LimitMemory derives the memory limit of the Go runtime from the limit of the process's cgroup. Without a memory limit,
// the heap may grow to 1.5 times the memory in use, so that the kernel might kill the process. The environment variables
// GOGC and GOMEMLIMIT take precedence.
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
