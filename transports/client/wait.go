package client

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

const (
	// steadyAfter is how long a connection must have been live for its loss to be no failure.
	steadyAfter = 5 * time.Second
	// firstWait bounds the first wait; each further one may be twice as long.
	firstWait = 500 * time.Millisecond
	// maxHint bounds what a server may ask for.
	maxHint = 10 * time.Minute
)

// backoff is a wait after some tries that failed: "full jitter", from none to a bound that doubles.
func backoff(tries int, most time.Duration) time.Duration {
	bound := most
	if tries < 20 { // what is more has reached any bound
		bound = min(most, firstWait<<tries)
	}
	return rand.N(bound + 1)
}

// parseRetryAfter reads the header Retry-After, seconds or a date (RFC 9110, section 10.2.3); 0 is
// none, or none that can be read.
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
