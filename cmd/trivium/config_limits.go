package main

import (
	"slices"
	"time"

	"github.com/trivium-hub/trivium/auth"
)

// LimitConfig bounds what clients may ask for. 0 means no limit (docs/protocol.md#limits), which
// net/http and the Config structs of the rooms read as their default.
type LimitConfig struct {
	MaxConnections           int `default:"100000" help:"Most subscribers connected, waiting polls included. 0 is no limit."`
	MaxConnectionsPerToken   int `default:"0" help:"Most subscribers connected with one token. 0 is no limit."`
	MaxConnectionsPerAddress int `default:"0" help:"Most subscribers connected from one address, or one /64 of IPv6. 0 is no limit."`
	MaxConnectRate           int `default:"0" help:"Most subscriptions, polls included, that one token may begin in a second. 0 is no limit."`
	MaxPublishRate           int `default:"0" help:"Most events that one token may publish in a second. 0 is no limit."`

	MaxFilterBytes         Size `default:"128MiB" help:"Most memory that the filters of all subscribers may take; of each set of filters the first KiB does not count. 0 is no limit."`
	MaxFilterBytesPerToken Size `default:"32MiB" help:"Most memory that the filters of one token's subscribers may take. Equal sets count once. 0 is no limit."`

	MaxTopics      int           `default:"64" help:"Most filters of a subscription. 0 is no limit."`
	MaxEventBytes  Size          `default:"1MiB" help:"Largest data of an event, in bytes. 0 is no limit."`
	MaxHeaderBytes Size          `default:"16KiB" help:"Largest header of a request, in bytes. 0 is no limit."`
	ReadTimeout    time.Duration `default:"10s" help:"Longest that a request's header or body may take. 0 is no limit."`

	MaxMessageBytes     Size `default:"64KiB" help:"Largest message of a WebSocket client, in bytes, after decompression."`
	MaxMessageRate      int  `default:"100" help:"Most messages that a WebSocket client may send in a second, pings and pongs included."`
	MaxMessageFragments int  `default:"1024" help:"Most frames that a message of a WebSocket client may come in."`
}

func (c *LimitConfig) check() []fault {
	return slices.Concat(
		faulty("max-connections", between(c.MaxConnections, 0, maxCount)),
		faulty("max-connections-per-token", between(c.MaxConnectionsPerToken, 0, maxCount)),
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

// perToken are the limits of a token that has none of its own.
func (c *LimitConfig) perToken() auth.Limits {
	return auth.Limits{
		Connections: c.MaxConnectionsPerToken,
		ConnectRate: c.MaxConnectRate,
		PublishRate: c.MaxPublishRate,
	}
}
