//go:build !js

package wire

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"time"
)

const (
	macHexLen = 2 * sha256.Size
	// Most digits of a datagram's time before and after its point: the years to 33658, and more
	// decimals than anybody's clock has.
	maxMillisWhole    = 15
	maxMillisFraction = 20
)

var (
	errUnsigned  = errors.New("a signed datagram is <hex HMAC-SHA-256> <unix milliseconds> <payload>")
	errForgedMAC = errors.New("the HMAC is of other bytes or another secret")
)

// Signed is what a signed datagram says (docs/protocol.md#signed-datagrams).
type Signed struct {
	Time    time.Time         // at which it was signed, of the sender's clock
	MAC     [sha256.Size]byte // no other content has it, and hex in another case is the same
	Payload []byte            // shares memory with the datagram
}

// SignDatagram appends to dst the datagram that carries the payload, signed at a time between
// 1970 and 33658. The time is written to the nanosecond: with each later one, the same payload is
// another datagram and no replay.
func SignDatagram(dst, secret []byte, at time.Time, payload []byte) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, macHexLen)...)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, at.UnixMilli(), 10)
	decimals := strconv.Itoa(1e6 + at.Nanosecond()%1e6) // a 1, which makes way for the point, and six digits
	dst = append(dst, '.')
	dst = append(dst, decimals[1:]...)
	dst = append(dst, ' ')
	dst = append(dst, payload...)
	sum := macOf(secret, dst[start+macHexLen+1:])
	hex.Encode(dst[start:], sum[:])
	return dst
}

// OpenDatagram gives what a datagram says that was signed with the secret. The error says whether
// its form or its HMAC is wrong, and nothing of what is in it. Whether the time is near and the
// datagram new is for the caller to see.
func OpenDatagram(secret, datagram []byte) (Signed, error) {
	var s Signed
	if len(datagram) <= macHexLen || datagram[macHexLen] != ' ' {
		return Signed{}, errUnsigned
	}
	if _, err := hex.Decode(s.MAC[:], datagram[:macHexLen]); err != nil {
		return Signed{}, errUnsigned
	}
	content := datagram[macHexLen+1:]
	if sum := macOf(secret, content); !hmac.Equal(sum[:], s.MAC[:]) {
		return Signed{}, errForgedMAC
	}
	millis, payload, found := bytes.Cut(content, []byte{' '})
	at, ok := parseMillis(millis)
	if !found || !ok {
		return Signed{}, errUnsigned
	}
	s.Time, s.Payload = at, payload
	return s, nil
}

func macOf(secret, content []byte) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, secret)
	mac.Write(content)
	mac.Sum(sum[:0])
	return sum
}

// parseMillis reads digits with or without a point and more digits behind it: milliseconds since
// 1970, exact to the nanosecond, what is below cut off.
func parseMillis(text []byte) (time.Time, bool) {
	whole, fraction, pointed := bytes.Cut(text, []byte{'.'})
	if len(whole) == 0 || len(whole) > maxMillisWhole || len(fraction) > maxMillisFraction || pointed && len(fraction) == 0 {
		return time.Time{}, false
	}
	millis, nanos, unit := int64(0), int64(0), int64(time.Millisecond)
	for _, c := range whole {
		if c < '0' || c > '9' {
			return time.Time{}, false
		}
		millis = millis*10 + int64(c-'0')
	}
	for _, c := range fraction {
		if c < '0' || c > '9' {
			return time.Time{}, false
		}
		unit /= 10 // 0 below the nanosecond
		nanos += int64(c-'0') * unit
	}
	return time.UnixMilli(millis).Add(time.Duration(nanos)), true
}
