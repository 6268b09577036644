package auth

import (
	"fmt"
	"time"

	"golang.org/x/time/rate"
)

// ConnectionLimits are of all tokens together. 0 is no limit.
type ConnectionLimits struct {
	Total int // connections at a time
	// PerAddress is of the connections of one address at a time. Of IPv6 the first 64 bits count:
	// whoever has one address of such a network has all of them.
	PerAddress int
	// FilterBytes is the memory of the filters that subscribers have, FilterBytesPerToken that of one
	// token's. Equal sets of one token count once, and the first KiB of a set does not.
	FilterBytes, FilterBytesPerToken int
}

// Limit names what a LimitError is about, as metrics do.
type Limit string

// The limits that a request can run into.
const (
	LimitConnections           Limit = "connections"
	LimitConnectionsPerToken   Limit = "connections_per_token"
	LimitConnectionsPerAddress Limit = "connections_per_address"
	LimitConnectRate           Limit = "connect_rate"
	LimitPublishRate           Limit = "publish_rate"
	LimitFilterBytes           Limit = "filter_bytes"
	LimitFilterBytesPerToken   Limit = "filter_bytes_per_token"
)

// AllLimits are all of them.
var AllLimits = []Limit{
	LimitConnections, LimitConnectionsPerToken, LimitConnectionsPerAddress, LimitConnectRate, LimitPublishRate,
	LimitFilterBytes, LimitFilterBytesPerToken,
}

// LimitError refuses what would be more than a limit allows, for the moment.
type LimitError struct {
	Limit Limit
	Value int // the limit: a number, or a rate in events a second
	// RetryAfter is when there will be room; 0 where nobody can know.
	RetryAfter time.Duration
}

func (e *LimitError) Error() string {
	switch e.Limit {
	case LimitConnectionsPerToken:
		return fmt.Sprintf("this token has %d connections, and may have no more", e.Value)
	case LimitConnectionsPerAddress:
		return fmt.Sprintf("this address has %d connections, and may have no more", e.Value)
	case LimitConnectRate:
		return fmt.Sprintf("this token may begin %d subscriptions a second", e.Value)
	case LimitPublishRate:
		return fmt.Sprintf("this token may publish %d events a second", e.Value)
	case LimitFilterBytes:
		return fmt.Sprintf("the filters of all subscribers may take %d bytes, and these would take more", e.Value)
	case LimitFilterBytesPerToken:
		return fmt.Sprintf("the filters of this token's subscribers may take %d bytes, and these would take more", e.Value)
	default:
		return fmt.Sprintf("the hub has %d connections, and takes no more", e.Value)
	}
}

// meter is a rate that may be none. Its burst is what may come in a second.
type meter struct{ *rate.Limiter }

func newMeter(perSecond int) meter {
	return meter{rate.NewLimiter(limitOf(perSecond), perSecond)}
}

func (m meter) set(perSecond int) {
	m.SetLimit(limitOf(perSecond))
	m.SetBurst(perSecond)
}

func limitOf(perSecond int) rate.Limit {
	if perSecond == 0 {
		return rate.Inf
	}
	return rate.Limit(perSecond)
}

// full reports that nothing is known of the meter that a new one would not know.
func (m meter) full() bool { return m.Limit() == rate.Inf || m.Tokens() >= float64(m.Burst()) }

// take counts n at once if there is room for one: what comes whole cannot be let in by halves, so
// what is more is paid for by a longer wait after it. If there is none, wait is when there will be.
func (m meter) take(n int) (wait time.Duration, ok bool) {
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
