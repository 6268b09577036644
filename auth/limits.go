package auth

import (
	"fmt"
	"time"

	"golang.org/x/time/rate"
)

// ConnectionLimits are the limits that apply to all tokens together. 0 means no limit.
type ConnectionLimits struct {
	Total int // concurrent connections
	// PerAddress limits the concurrent connections of one address. The IPv6 addresses of one /64
	// network count as one address, because a client usually has all of them.
	PerAddress int
	// FilterBytes limits the memory of all subscribers' filters; FilterBytesPerToken limits that of
	// one token's subscribers. Equal sets of one token count once, and the first KiB of a set does
	// not count.
	FilterBytes, FilterBytesPerToken int
}

// Limit is the name of a limit, as used in metrics.
type Limit string

// Names of all limits.
const (
	LimitConnections           Limit = "connections"
	LimitConnectionsPerToken   Limit = "connections_per_token"
	LimitConnectionsPerAddress Limit = "connections_per_address"
	LimitConnectRate           Limit = "connect_rate"
	LimitPublishRate           Limit = "publish_rate"
	LimitFilterBytes           Limit = "filter_bytes"
	LimitFilterBytesPerToken   Limit = "filter_bytes_per_token"
	LimitTickets               Limit = "tickets"
	LimitTicketRequests        Limit = "ticket_requests" // concurrent requests to other hubs for tickets that these have issued
)

// AllLimits lists all limits.
var AllLimits = []Limit{
	LimitConnections, LimitConnectionsPerToken, LimitConnectionsPerAddress, LimitConnectRate, LimitPublishRate,
	LimitFilterBytes, LimitFilterBytesPerToken, LimitTickets, LimitTicketRequests,
}

// LimitError is the error of a request that is refused because a limit is reached. The refusal is
// temporary.
type LimitError struct {
	Limit Limit
	Value int // the maximum; for a rate, per second
	// RetryAfter is the delay after which to retry; 0: unknown.
	RetryAfter time.Duration
}

func (e *LimitError) Error() string {
	switch e.Limit {
	case LimitConnectionsPerToken:
		return fmt.Sprintf("this token has %d connections, the maximum", e.Value)
	case LimitConnectionsPerAddress:
		return fmt.Sprintf("this address has %d connections, the maximum", e.Value)
	case LimitConnectRate:
		return fmt.Sprintf("this token may start at most %d subscriptions per second", e.Value)
	case LimitPublishRate:
		return fmt.Sprintf("this token may publish at most %d events per second", e.Value)
	case LimitFilterBytes:
		return fmt.Sprintf("the filters of all subscribers may use at most %d bytes of memory; together with the filters of this request, they would use more", e.Value)
	case LimitFilterBytesPerToken:
		return fmt.Sprintf("the filters of this token's subscribers may use at most %d bytes of memory; together with the filters of this request, they would use more", e.Value)
	case LimitTickets:
		return fmt.Sprintf("%d tickets were issued within 30 seconds, the maximum", e.Value)
	case LimitTicketRequests:
		return "too many requests to other hubs about tickets are in progress"
	default:
		return fmt.Sprintf("the hub has %d connections, the maximum", e.Value)
	}
}

// rateLimiter is a token bucket. The burst is the number of events that the rate allows in one
// second. A rate of 0 means no limit.
type rateLimiter struct{ *rate.Limiter }

func newRateLimiter(perSecond int) rateLimiter {
	return rateLimiter{rate.NewLimiter(limitOf(perSecond), perSecond)}
}

func (m rateLimiter) set(perSecond int) {
	m.SetLimit(limitOf(perSecond))
	m.SetBurst(perSecond)
}

func limitOf(perSecond int) rate.Limit {
	if perSecond == 0 {
		return rate.Inf
	}
	return rate.Limit(perSecond)
}

// unused reports whether the limiter is in the same state as a new one.
func (m rateLimiter) unused() bool { return m.Limit() == rate.Inf || m.Tokens() >= float64(m.Burst()) }

// allow admits n events if the bucket contains at least one token. It may overdraw the bucket,
// which makes later calls wait longer. Otherwise it returns the time until the bucket contains a
// token again.
func (m rateLimiter) allow(n int) (wait time.Duration, ok bool) {
	now := time.Now()
	if m.Limit() == rate.Inf {
		return 0, true
	}
	if !m.AllowN(now, 1) {
		return time.Duration((1 - m.TokensAt(now)) / float64(m.Limit()) * float64(time.Second)), false
	}
	for n--; n > 0; n -= m.Burst() {
		m.ReserveN(now, min(n, m.Burst()))
	}
	return 0, true
}
