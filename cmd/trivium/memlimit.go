package main

import (
	"errors"
	"log/slog"
	"math"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// gcPercent, unless GOGC says otherwise: what is collected is little beside what a hub's connections
// hold for as long as they are idle, and by Go's default it may use up as much again.
const gcPercent = 50

// memoryShare is the part of a container's memory that the Go runtime may use. The rest is for what the
// kernel counts too: socket buffers, page cache and the program's own pages.
const memoryShare = 0.85

// limitMemory has the garbage collector keep the process within the memory of its cgroup: without that
// it may let the heap grow to half as much again as is in use, and the kernel ends the process. GOGC and
// GOMEMLIMIT in the environment go first.
func limitMemory(log *slog.Logger) {
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(gcPercent)
	}
	if text, set := os.LookupEnv("GOMEMLIMIT"); set {
		log.Info("memory limit taken from GOMEMLIMIT", "limit", text)
		return
	}
	limit, err := memlimit.Set(memlimit.WithRatio(memoryShare))
	switch {
	case errors.Is(err, memlimit.ErrCgroupsNotSupported), errors.Is(err, memlimit.ErrNoCgroup):
		log.Debug("no memory limit: there is no cgroup")
	case err != nil:
		log.Warn("no memory limit: the cgroup's cannot be read; set GOMEMLIMIT", "error", err.Error())
	case limit == math.MaxInt64:
		log.Debug("no memory limit: the cgroup has none")
	default:
		log.Info("memory limit derived from the cgroup", "bytes", limit, "share", memoryShare)
	}
}
