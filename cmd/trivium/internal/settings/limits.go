package settings

import (
	"math"
	"slices"
	"time"

	"github.com/trivium-hub/trivium/auth"
)

// LimitConfig holds the limits for clients (docs/protocol.md#limits). Here, 0 means no limit. In
// net/http and in the Config structs of other packages, 0 means their default.
type LimitConfig struct {
	MaxConnections           int   `default:"100000" help:"Maximum number of connected subscribers, including waiting polls. 0 means no limit."`
	MaxConnectionsPerToken   Share `default:"50%" help:"Maximum number of connected subscribers per token, or a percentage of --max-connections. A percentage does not apply if only one token exists: the token generated at start, or the only token in --tokens if no other kind of token is configured. 0 means no limit."`
	MaxConnectionsPerAddress int   `default:"0" help:"Maximum number of connected subscribers per client address (per /64 network for IPv6). 0 means no limit."`
	MaxConnectRate           int   `default:"0" help:"Maximum number of new subscriptions per second and token, including polls. 0 means no limit."`
	MaxPublishRate           int   `default:"0" help:"Maximum number of published events per second and token. 0 means no limit."`

	MaxFilterBytes         Size `default:"128MiB" help:"Maximum memory of the filters of all subscribers. The first KiB of each filter set does not count. 0 means no limit."`
	MaxFilterBytesPerToken Size `default:"32MiB" help:"Maximum memory of the filters of all subscribers with one token. Equal filter sets count once. 0 means no limit."`

	MaxTopics      int           `default:"64" help:"Maximum number of topic filters per subscription. 0 means no limit."`
	MaxEventBytes  Size          `default:"1MiB" help:"Maximum size of an event's data. 0 means no limit."`
	MaxHeaderBytes Size          `default:"16KiB" help:"Maximum size of a request's header. 0 means no limit."`
	ReadTimeout    time.Duration `default:"10s" help:"Maximum time to receive a request's header or body. 0 means no limit."`

	MaxMessageBytes     Size `default:"64KiB" help:"Maximum size of a message from a WebSocket client, after decompression."`
	MaxMessageRate      int  `default:"100" help:"Maximum number of messages per second from a WebSocket client, including pings and pongs."`
	MaxMessageFragments int  `default:"1024" help:"Maximum number of frames of one message from a WebSocket client."`
}

func (c *LimitConfig) check() []Fault {
	return slices.Concat(
		Faults("max-connections", Between(c.MaxConnections, 0, MaxCount)),
		Faults("max-connections-per-address", Between(c.MaxConnectionsPerAddress, 0, MaxCount)),
		Faults("max-connect-rate", Between(c.MaxConnectRate, 0, MaxCount)),
		Faults("max-publish-rate", Between(c.MaxPublishRate, 0, MaxCount)),
		Faults("max-filter-bytes", Between(c.MaxFilterBytes, 0, maxFilterBytes)),
		Faults("max-filter-bytes-per-token", Between(c.MaxFilterBytesPerToken, 0, maxFilterBytes)),
		Faults("max-topics", Between(c.MaxTopics, 0, maxTopics)),
		Faults("max-event-bytes", Between(c.MaxEventBytes, 0, maxEventBytes)),
		Faults("max-header-bytes", Between(c.MaxHeaderBytes, 0, maxHeaderBytes)),
		Faults("read-timeout", Between(c.ReadTimeout, 0, MaxDuration)),
		Faults("max-message-bytes", Between(c.MaxMessageBytes, 1, maxEventBytes)),
		Faults("max-message-rate", Between(c.MaxMessageRate, 1, MaxCount)),
		Faults("max-message-fragments", Between(c.MaxMessageFragments, 1, MaxCount)),
	)
}

// PerToken returns the limits of a token for which no other limits are configured.
func (c *ServeConfig) PerToken() auth.Limits {
	return auth.Limits{
		Connections: c.MaxConnectionsPerToken.of(c.Connections().Total),
		ConnectRate: c.MaxConnectRate,
		PublishRate: c.MaxPublishRate,
	}
}

// OfOnlyToken returns the limits of a token if no other token exists. If the limit of connections per token is a
// percentage, it does not apply, because there are no other tokens for which connections must be reserved.
func (c *ServeConfig) OfOnlyToken() auth.Limits {
	limits := c.PerToken()
	if c.MaxConnectionsPerToken.relative() {
		limits.Connections = 0
	}
	return limits
}

// Limit is the value of a limit; +Inf means no limit.
type Limit struct {
	Setting string
	Value   float64
}

// Limits returns the values of all limits by flag name.
func (c *ServeConfig) Limits() []Limit {
	orInf := func(n int64) float64 {
		if n == 0 {
			return math.Inf(1)
		}
		return float64(n)
	}
	seconds := func(d time.Duration) float64 {
		if d == 0 {
			return math.Inf(1)
		}
		return d.Seconds()
	}
	return []Limit{
		{"max-connections", orInf(int64(c.Connections().Total))},
		{"max-connections-per-token", orInf(int64(c.MaxConnectionsPerToken.of(c.Connections().Total)))},
		{"max-connections-per-address", orInf(int64(c.MaxConnectionsPerAddress))},
		{"max-connect-rate", orInf(int64(c.MaxConnectRate))},
		{"max-publish-rate", orInf(int64(c.MaxPublishRate))},
		{"max-filter-bytes", orInf(int64(c.MaxFilterBytes))},
		{"max-filter-bytes-per-token", orInf(int64(c.MaxFilterBytesPerToken))},
		{"max-topics", orInf(int64(c.MaxTopics))},
		{"max-event-bytes", orInf(int64(c.MaxEventBytes))},
		{"max-header-bytes", orInf(int64(c.MaxHeaderBytes))},
		{"read-timeout", seconds(c.ReadTimeout)},
		{"max-message-bytes", float64(c.MaxMessageBytes)},
		{"max-message-rate", float64(c.MaxMessageRate)},
		{"max-message-fragments", float64(c.MaxMessageFragments)},
		{"write-timeout", c.WriteTimeout.Seconds()},
		{"retain-events", float64(c.RetainEvents)},
		{"retain-bytes", float64(c.RetainBytes)},
		{"retain-age", c.RetainAge.Seconds()},
		{"gap-topics", float64(c.GapTopics)},
	}
}
