package main

import (
	"log/slog"
	"math"

	"github.com/trivium-hub/trivium/auth"
)

// adminConnections is how many connections the operator's listener has at most.
const adminConnections = 32

// File descriptors that the main listener leaves to the rest of the process.
const (
	// ownDescriptors are for the operator's listener, for files that are reread, for the log and for
	// connections to issuers and NATS.
	ownDescriptors = 32 + adminConnections
	// storeDescriptors are for the files of an embedded engine.
	storeDescriptors = 64
)

// publicDescriptors returns how many descriptors may be in use when the main listener takes a
// connection; 0: the system names no limit.
func (c *ServeConfig) publicDescriptors() int {
	limit, known := descriptorLimit()
	if !known {
		return 0
	}
	own := ownDescriptors
	if c.Engine == engineEmbedded {
		own += storeDescriptors
	}
	return max(limit-own, limit/2)
}

// connections returns the limits of all subscribers together. They are lower than configured where the
// process may not open as many files, as each of them may take one; a quarter of the descriptors is
// left to connections that are no subscriber's.
func (c *ServeConfig) connections() auth.ConnectionLimits {
	limits := auth.ConnectionLimits{
		Total: c.MaxConnections, PerAddress: c.MaxConnectionsPerAddress,
		FilterBytes: int(c.MaxFilterBytes), FilterBytesPerToken: int(c.MaxFilterBytesPerToken),
	}
	if room := c.publicDescriptors(); room > 0 {
		most := room - min(spareConnections, room/4)
		if limits.Total == 0 || limits.Total > most {
			limits.Total = most
		}
	}
	return limits
}

// spareConnections returns how many connections there may be beside those of subscribers.
func (c *ServeConfig) spareConnections() int {
	room := c.publicDescriptors()
	if room == 0 {
		room = math.MaxInt
	}
	return min(spareConnections, room-c.connections().Total)
}

// warnOfDescriptors logs that the process may not open as many files as --max-connections wants.
func (c *ServeConfig) warnOfDescriptors(log *slog.Logger) {
	if most := c.connections().Total; most < c.MaxConnections {
		limit, _ := descriptorLimit()
		log.Warn("the limit of open files is too low for --max-connections, which is lowered; raise it (ulimit -n, LimitNOFILE= of systemd)",
			"open_files", limit, "max_connections", c.MaxConnections, "lowered_to", most)
	}
}
