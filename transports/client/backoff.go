package client

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

const (
	// steadyAfter is how long a connection must have been Live so that its loss does not count as a
	// failure.
	steadyAfter = 5 * time.Second
	// triesAfterLive limits loop.tries, the number of failed attempts, after the loss of a connection that
	// was Live for at least acceptedAfter. The limit keeps the waits short on a network that fails every few
	// seconds.
	triesAfterLive = 2
	// firstWait is the upper limit of the first random wait. The limit doubles with each further
	// wait.
	firstWait = 500 * time.Millisecond
	// maxHint is the longest wait that a server can request.
	maxHint = 10 * time.Minute
)

// backoff returns a random wait between 0 and a maximum, which doubles with each failed attempt up
// to limit ("full jitter").
func backoff(tries int, limit time.Duration) time.Duration {
	bound := limit
	if tries < 20 { // larger shifts would exceed every limit, and may overflow
		bound = min(limit, firstWait<<tries)
	}
	return rand.N(bound + 1)
}

// parseRetryAfter parses a Retry-After header, in seconds or as a date (RFC 9110, section 10.2.3). It returns 0
// if the header is absent or invalid.
func parseRetryAfter(s string, now time.Time) time.Duration {
	s = strings.TrimSpace(s)
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	const imfFixdate = "Mon, 02 Jan 2006 15:04:05 GMT"
	if date, err := time.Parse(imfFixdate, s); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}
