package main

import (
	"slices"
	"time"

	"github.com/trivium-hub/trivium/auth"
)

// LimitConfig holds the limits on clients. 0 means no limit (docs/protocol.md#limits); net/http and the Config
// structs of other packages read 0 as their default instead.
type LimitConfig struct {
	MaxConnections           int   `default:"100000" help:"Maximum number of connected subscribers, waiting polls included. 0 means no limit."`
	MaxConnectionsPerToken   Share `default:"50%" help:"Maximum number of connected subscribers per token, or a percentage of --max-connections. A percentage does not apply where only one token exists: the one generated at start, or the only one of --tokens if no JWTs are accepted. 0 means no limit."`
	MaxConnectionsPerAddress int   `default:"0" help:"Maximum number of connected subscribers per client address (per /64 network for IPv6). 0 means no limit."`
	MaxConnectRate           int   `default:"0" help:"Maximum number of new subscriptions per second and token, polls included. 0 means no limit."`
	MaxPublishRate           int   `default:"0" help:"Maximum number of published events per second and token. 0 means no limit."`

	MaxFilterBytes         Size `default:"128MiB" help:"Maximum memory of the filters of all subscribers. The first KiB of each filter set does not count. 0 means no limit."`
	MaxFilterBytesPerToken Size `default:"32MiB" help:"Maximum memory of the filters of one token's subscribers. Equal filter sets count once. 0 means no limit."`

	MaxTopics      int           `default:"64" help:"Maximum number of topic filters per subscription. 0 means no limit."`
	MaxEventBytes  Size          `default:"1MiB" help:"Maximum size of an event's data. 0 means no limit."`
	MaxHeaderBytes Size          `default:"16KiB" help:"Maximum size of a request's header. 0 means no limit."`
	ReadTimeout    time.Duration `default:"10s" help:"Maximum time to receive a request's header or body. 0 means no limit."`

	MaxMessageBytes     Size `default:"64KiB" help:"Maximum size of a message from a WebSocket client, after decompression."`
	MaxMessageRate      int  `default:"100" help:"Maximum number of messages per second from a WebSocket client, pings and pongs included."`
	MaxMessageFragments int  `default:"1024" help:"Maximum number of frames of one message from a WebSocket client."`
}

func (c *LimitConfig) check() []fault {
	return slices.Concat(
		faulty("max-connections", between(c.MaxConnections, 0, maxCount)),
		faulty("max-connections-per-address", between(c.MaxConnectionsPerAddress, 0, maxCount)),
		faulty("max-connect-rate", between(c.MaxConnectRate, 0, maxCount)),
		faulty("max-publish-rate", between(c.MaxPublishRate, 0, maxCount)),
		faulty("max-filter-bytes", between(c.MaxFilterBytes, 0, maxFilterBytes)),
		faulty("max-filter-bytes-per-token", between(c.MaxFilterBytesPerToken, 0, maxFilterBytes)),
		faulty("max-topics", between(c.MaxTopics, 0, maxTopics)),
		faulty("max-event-bytes", between(c.MaxEventBytes, 0, maxEventBytes)),
		faulty("max-header-bytes", between(c.MaxHeaderBytes, 0, maxHeaderBytes)),
		faulty("read-timeout", between(c.ReadTimeout, 0, maxDuration)),
		faulty("max-message-bytes", between(c.MaxMessageBytes, 1, maxEventBytes)),
		faulty("max-message-rate", between(c.MaxMessageRate, 1, maxCount)),
		faulty("max-message-fragments", between(c.MaxMessageFragments, 1, maxCount)),
	)
}

// perToken returns the limits of tokens that have none of their own.
func (c *ServeConfig) perToken() auth.Limits {
	return auth.Limits{
		Connections: c.MaxConnectionsPerToken.of(c.connections().Total),
		ConnectRate: c.MaxConnectRate,
		PublishRate: c.MaxPublishRate,
	}
}

// ofOnlyToken returns the limits of a token if no other exists. It may use all connections, since a percentage is to
// leave some to other tokens.
func (c *ServeConfig) ofOnlyToken() auth.Limits {
	limits := c.perToken()
	if c.MaxConnectionsPerToken.relative() {
		limits.Connections = 0
	}
	return limits
}
