package udp

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// Values of Config.Skew.
const (
	DefaultSkew = 30 * time.Second
	MaxSkew     = 24 * time.Hour // the largest skew that can be configured
)

// packetFilter decides which datagrams are accepted. The goroutine that reads the socket owns it.
type packetFilter struct {
	allow   []netip.Prefix // addresses of allowed senders; empty: all senders are allowed
	secret  []byte         // empty: datagrams are not signed
	replays replayCache
}

func newPacketFilter(cfg *Config) (*packetFilter, error) {
	if cfg.Skew < 0 || cfg.Skew > MaxSkew {
		return nil, fmt.Errorf("skew: want 0s to %v, got %v", MaxSkew, cfg.Skew)
	}
	if cfg.Secret != nil && len(cfg.Secret) == 0 {
		return nil, errors.New("secret: want at least one byte, got none") // probably a mistake: every datagram would be accepted
	}
	g := &packetFilter{secret: slices.Clone(cfg.Secret), replays: newReplayCache(cmp.Or(cfg.Skew, DefaultSkew), maxReplayEntries)}
	for _, prefix := range cfg.Allow {
		if !prefix.IsValid() {
			return nil, fmt.Errorf("allow: want a range of IP addresses, got %v", prefix)
		}
		if addr := prefix.Addr(); addr.Is4In6() && prefix.Bits() >= 96 {
			prefix = netip.PrefixFrom(addr.Unmap(), prefix.Bits()-96) // the addresses of senders are unmapped too
		}
		g.allow = append(g.allow, prefix)
	}
	return g, nil
}

// check returns the payload of a datagram and, if the datagram is signed, its ID. If the datagram must be
// dropped, check returns the reason, which is otherwise "". It first checks the sender and then the
// signature.
func (f *packetFilter) check(from netip.Addr, datagram []byte) (payload []byte, id, reason string) {
	if len(f.allow) > 0 && !f.allows(from) {
		return nil, "", droppedSender
	}
	if len(f.secret) == 0 {
		return datagram, "", ""
	}
	signed, err := wire.VerifyDatagram(f.secret, datagram)
	if err != nil {
		return nil, "", droppedSignature
	}
	return signed.Payload, datagramID(&signed), f.replays.add(time.Now(), &signed)
}

// datagramID returns an ID of a signed datagram, which is the same on all hubs. It is the part of the MAC
// that the replay cache stores.
func datagramID(s *wire.SignedDatagram) string {
	return base64.RawURLEncoding.EncodeToString(s.MAC[:len(fingerprint{})])
}

func (f *packetFilter) allows(from netip.Addr) bool {
	from = from.Unmap().WithZone("") // prefixes do not match addresses with a zone
	return slices.ContainsFunc(f.allow, func(p netip.Prefix) bool { return p.Contains(from) })
}
