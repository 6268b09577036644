package udp

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/trivium-hub/trivium/transports/wire"
)

// How far a signed datagram's time may be from the hub's.
const (
	DefaultSkew = 30 * time.Second
	MaxSkew     = 24 * time.Hour // of what can be configured
)

// ParseSenders reads an IP address, or a range of them such as 10.0.0.0/8, for Config.Allow. An
// address with a zone is refused: which interface a datagram came in by is not looked at. A
// range of IPv4 within IPv6 has 96 bits at least: no sender is in a larger one.
func ParseSenders(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil || prefix.Addr().Is4In6() && prefix.Bits() < 96 {
		return netip.Prefix{}, fmt.Errorf("want an IP address or a range such as 10.0.0.0/8 or fd00::/8, got %q", s)
	}
	return prefix, nil
}

// guard decides which datagrams are taken. It is owned by the goroutine that reads.
type packetFilter struct {
	allow   []netip.Prefix // none: every sender
	secret  []byte         // none: nothing is signed
	replays replayCache
}

func newPacketFilter(cfg *Config) (*packetFilter, error) {
	if cfg.Skew < 0 || cfg.Skew > MaxSkew {
		return nil, fmt.Errorf("skew: want 0s to %v, got %v", MaxSkew, cfg.Skew)
	}
	if cfg.Secret != nil && len(cfg.Secret) == 0 {
		return nil, errors.New("secret: want at least one byte, got none") // not meant to let all in
	}
	g := &packetFilter{secret: slices.Clone(cfg.Secret), replays: newReplayCache(cmp.Or(cfg.Skew, DefaultSkew), maxReplayEntries)}
	for _, prefix := range cfg.Allow {
		if !prefix.IsValid() {
			return nil, fmt.Errorf("allow: want a range of IP addresses, got %v", prefix)
		}
		if addr := prefix.Addr(); addr.Is4In6() && prefix.Bits() >= 96 {
			prefix = netip.PrefixFrom(addr.Unmap(), prefix.Bits()-96) // senders are unmapped too
		}
		g.allow = append(g.allow, prefix)
	}
	return g, nil
}

// check gives the payload of a datagram and the ID of what was signed, "" if nothing was; or the reason to
// drop it. Nothing is looked at in a datagram from a sender that is not allowed, and nothing is believed
// before its signature is.
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

// idOf names a signed datagram to all hubs, by as much of its MAC as a ledger remembers.
func datagramID(s *wire.SignedDatagram) string {
	return base64.RawURLEncoding.EncodeToString(s.MAC[:len(fingerprint{})])
}

func (f *packetFilter) allows(from netip.Addr) bool {
	from = from.Unmap().WithZone("") // a prefix contains no address with a zone
	return slices.ContainsFunc(f.allow, func(p netip.Prefix) bool { return p.Contains(from) })
}
