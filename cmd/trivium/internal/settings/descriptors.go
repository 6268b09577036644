package settings

import (
	"log/slog"
	"math"

	"github.com/trivium-hub/trivium/auth"
)

// AdminConnections is the maximum number of open connections on the admin listener.
const AdminConnections = 32

// These are counts of reserved file descriptors, which connections to the main listener may not use.
const (
	// ownDescriptors are for the admin listener, watched files, the log, and connections to token issuers and NATS.
	ownDescriptors = 32 + AdminConnections
	// storeDescriptors are for the files of an embedded engine.
	storeDescriptors = 64
)

// PublicDescriptors returns the number of file descriptors that may be in use when the main listener
// accepts a connection. It returns 0 if the system has no limit.
func (c *ServeConfig) PublicDescriptors() int {
	limit, known := descriptorLimit()
	if !known {
		return 0
	}
	own := ownDescriptors
	if c.Engine == EngineEmbedded {
		own += storeDescriptors
	}
	return max(limit-own, limit/2)
}

// Connections returns the limits of subscribers' connections. Each connection needs a file descriptor. Therefore the
// total limit is lower than --max-connections if the process may not open that many files. Up to a quarter of the
// descriptors is reserved for connections that do not subscribe.
func (c *ServeConfig) Connections() auth.ConnectionLimits {
	limits := auth.ConnectionLimits{
		Total: c.MaxConnections, PerAddress: c.MaxConnectionsPerAddress,
		FilterBytes: int(c.MaxFilterBytes), FilterBytesPerToken: int(c.MaxFilterBytesPerToken),
	}
	if room := c.PublicDescriptors(); room > 0 {
		most := room - min(spareConnections, room/4)
		if limits.Total == 0 || limits.Total > most {
			limits.Total = most
		}
	}
	return limits
}

// SpareConnections returns the number of connections that may be open in addition to the connections of subscribers.
func (c *ServeConfig) SpareConnections() int {
	room := c.PublicDescriptors()
	if room == 0 {
		room = math.MaxInt
	}
	return min(spareConnections, room-c.Connections().Total)
}

// WarnOfDescriptors logs a warning if the process may not open enough files for --max-connections.
func (c *ServeConfig) WarnOfDescriptors(log *slog.Logger) {
	if most := c.Connections().Total; most < c.MaxConnections {
		limit, _ := descriptorLimit()
		log.Warn("the open file limit is too low for --max-connections, which was lowered; raise the limit (ulimit -n, LimitNOFILE= of systemd)",
			"open_files", limit, "max_connections", c.MaxConnections, "lowered_to", most)
	}
}

const spareConnections = 1024
