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
	// Maximum numbers of digits of a datagram's time before and after the decimal point. They suffice
	// for years up to 33658 and for a precision beyond that of clocks.
	maxMillisWhole    = 15
	maxMillisFraction = 20
)

var (
	errNotSigned = errors.New("a signed datagram must be <hex HMAC-SHA-256> <unix milliseconds> <payload>")
	errWrongMAC  = errors.New("the HMAC does not match: the content was changed, or the secrets differ")
)

// SignedDatagram is the content of a signed datagram (docs/protocol.md#signed-datagrams).
type SignedDatagram struct {
	Time    time.Time         // time of signing, by the sender's clock
	MAC     [sha256.Size]byte // decoded, because hex digits may be in upper or lower case; equal for equal contents
	Payload []byte            // shares memory with the datagram
}

// SignDatagram appends to dst a datagram with the payload, signed at the given time, which must be in the
// years 1970 to 33658. The datagram contains the time with nanosecond precision. Therefore two datagrams
// with equal payloads differ, and the hub does not refuse the second one as a replay.
func SignDatagram(dst, secret []byte, at time.Time, payload []byte) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, macHexLen)...)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, at.UnixMilli(), 10)
	decimals := strconv.Itoa(1e6 + at.Nanosecond()%1e6) // "1" and six digits; the "1" is dropped
	dst = append(dst, '.')
	dst = append(dst, decimals[1:]...)
	dst = append(dst, ' ')
	dst = append(dst, payload...)
	sum := macOf(secret, dst[start+macHexLen+1:])
	hex.Encode(dst[start:], sum[:])
	return dst
}

// VerifyDatagram verifies the signature of a datagram and returns its content. The error states whether
// the format or the HMAC is wrong, and does not quote the datagram. The caller must check that the time
// is recent and that the datagram is not a replay.
func VerifyDatagram(secret, datagram []byte) (SignedDatagram, error) {
	var s SignedDatagram
	if len(datagram) <= macHexLen || datagram[macHexLen] != ' ' {
		return SignedDatagram{}, errNotSigned
	}
	if _, err := hex.Decode(s.MAC[:], datagram[:macHexLen]); err != nil {
		return SignedDatagram{}, errNotSigned
	}
	content := datagram[macHexLen+1:]
	if sum := macOf(secret, content); !hmac.Equal(sum[:], s.MAC[:]) {
		return SignedDatagram{}, errWrongMAC
	}
	millis, payload, found := bytes.Cut(content, []byte{' '})
	at, ok := parseMillis(millis)
	if !found || !ok {
		return SignedDatagram{}, errNotSigned
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

// parseMillis parses a number of milliseconds since 1970, with an optional decimal fraction. It ignores
// digits below the nanosecond.
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
		unit /= 10 // 0 for digits below the nanosecond
		nanos += int64(c-'0') * unit
	}
	return time.UnixMilli(millis).Add(time.Duration(nanos)), true
}
