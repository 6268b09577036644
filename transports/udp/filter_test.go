package udp

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

var testSecret = []byte("open sesame")

// sign returns a signed datagram whose time is now plus offset.
func sign(secret []byte, offset time.Duration, payload string) string {
	return string(wire.SignDatagram(nil, secret, time.Now().Add(offset), []byte(payload)))
}

func upperHex(datagram string) string { return strings.ToUpper(datagram[:64]) + datagram[64:] }

// senders returns the prefixes for ranges of addresses.
func senders(t *testing.T, ranges ...string) (prefixes []netip.Prefix) {
	t.Helper()
	for _, s := range ranges {
		prefix, err := auth.ParseNetwork(s)
		require.NoError(t, err)
		prefixes = append(prefixes, prefix)
	}
	return prefixes
}

// TestDatagramFilter sends accepted and refused datagrams over real sockets.
func TestDatagramFilter(t *testing.T) {
	good := sign(testSecret, 0, `"good"`)
	// All datagrams are signed before the first is sent. Because a slow machine may pause the test in
	// between, each signing time is at least a minute away from the limits of the skew.
	signed := Config{Secret: testSecret, Skew: time.Hour}
	raw := Config{Secret: testSecret, Skew: time.Hour, Format: Format{Mode: Raw}}
	tests := []struct {
		name      string
		cfg       Config
		datagrams []string
		data      string // data of the expected events, in order
		dropped   map[string]uint64
	}{
		{"signed", signed, []string{good}, `"good"`, nil},
		{"signed in upper case", signed, []string{upperHex(good)}, `"good"`, nil},
		{"lines", signed, []string{sign(testSecret, 0, "1\n2\n\n3")}, "1 2 3", nil},
		{"raw", raw, []string{sign(testSecret, 0, " any thing\n")}, " any thing\n", nil},
		{"raw, empty", raw, []string{sign(testSecret, 0, "")}, "", nil},
		{"unsigned", signed, []string{`1`, `{"topic":"a","data":1}`, ""}, "", map[string]uint64{"signature": 3}},
		{"another secret", signed, []string{sign([]byte("open sesame\n"), 0, "1"), sign(nil, 0, "1")}, "", map[string]uint64{"signature": 2}},
		{"forged payload", signed, []string{good[:len(good)-2] + `!"`, good + " "}, "", map[string]uint64{"signature": 2}},
		{"forged time", signed, []string{strings.Replace(good, " 1", " 2", 1)}, "", map[string]uint64{"signature": 1}},
		{"truncated hex", signed, []string{good[1:], good[:63] + good[64:], good[:64]}, "", map[string]uint64{"signature": 3}},
		{"no payload", signed, []string{strings.TrimSuffix(sign(testSecret, 0, ""), " ")}, "", map[string]uint64{"signature": 1}},
		{"an empty payload", signed, []string{sign(testSecret, 0, "")}, "", map[string]uint64{"malformed": 1}},
		{"oldest and newest accepted times", signed, []string{sign(testSecret, -50*time.Minute, "1"), sign(testSecret, 59*time.Minute, "2")}, "1 2", nil},
		{"times outside the skew", signed, []string{sign(testSecret, -61*time.Minute, "1"), sign(testSecret, 70*time.Minute, "2")}, "", map[string]uint64{"replayed": 2}},
		{"times outside the default skew", Config{Secret: testSecret}, []string{sign(testSecret, -DefaultSkew-time.Second, "1"), sign(testSecret, 10*time.Minute, "2")}, "", map[string]uint64{"replayed": 2}},
		{"replayed", signed, []string{good, good, upperHex(good)}, `"good"`, map[string]uint64{"replayed": 2}},
		{"the same payload signed again", signed, []string{sign(testSecret, 0, "1"), sign(testSecret, 1, "1")}, "1 1", nil},
		{"an allowed sender", Config{Allow: senders(t, "192.0.2.1", "127.0.0.0/8")}, []string{"1"}, "1", nil},
		{"another sender", Config{Allow: senders(t, "192.0.2.1", "::1")}, []string{"1", "no JSON"}, "", map[string]uint64{"sender": 2}},
		{"another sender, signed", Config{Allow: senders(t, "192.0.2.1"), Secret: testSecret, Skew: time.Hour}, []string{good, "1"}, "", map[string]uint64{"sender": 2}},
		{"an allowed sender, unsigned", Config{Allow: senders(t, "127.0.0.1"), Secret: testSecret, Skew: time.Hour}, []string{"1", good}, `"good"`, map[string]uint64{"signature": 1}},
		{"IPv4 at a socket for IPv4 and IPv6", Config{Addr: ":0", Allow: senders(t, "127.0.0.1/32")}, []string{"1"}, "1", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			var got []string
			tt.cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			tt.cfg.Publish = func(_ context.Context, events ...*hub.Event) (hub.Cursor, error) {
				for _, e := range events {
					got = append(got, string(e.Data))
				}
				return hub.Cursor{}, nil
			}
			r := start(t, listen(t, tt.cfg))
			sender, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: r.Addr().(*net.UDPAddr).Port})
			require.NoError(t, err)
			for _, d := range tt.datagrams {
				_, err := sender.Write([]byte(d))
				require.NoError(t, err)
			}
			require.NoError(t, sender.Close())
			r.eventually(t, func(s Stats) bool { return s.Datagrams == uint64(len(tt.datagrams)) })
			r.stop()
			require.Equal(t, tt.data, strings.Join(got, " "))
			for reason, n := range r.Stats().Dropped {
				require.Equal(t, tt.dropped[reason], n, reason)
			}
			require.NotContains(t, log.String(), "sesame")
			require.NotContains(t, log.String(), "good")
		})
	}
}

func TestSkewIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const skew = 7*time.Second + 1
		g, err := newPacketFilter(&Config{Secret: testSecret, Skew: skew})
		require.NoError(t, err)
		byDefault, err := newPacketFilter(&Config{Secret: testSecret})
		require.NoError(t, err)
		require.Equal(t, 30*time.Second, byDefault.replays.skew)
		var from netip.Addr // the sender is not used
		for offset, want := range map[time.Duration]string{
			-skew - 1: droppedReplayed, -skew: "", -1: "", 0: "", 1: "", skew: "", skew + 1: droppedReplayed,
		} {
			at := time.Now().Add(offset)
			datagram := wire.SignDatagram(nil, testSecret, at, []byte("1"))
			payload, _, reason := g.check(from, datagram)
			require.Equal(t, want, reason, offset)
			if want != "" {
				continue
			}
			require.Equal(t, "1", string(payload))
			// The repeated datagram is refused: first because it is in the replay cache, later because its
			// time is outside the skew.
			for _, until := range []time.Time{time.Now(), at.Add(skew), at.Add(skew + 1), at.Add(3 * skew)} {
				time.Sleep(max(0, time.Until(until)))
				_, _, reason = g.check(from, datagram)
				require.Equal(t, droppedReplayed, reason)
			}
		}
		for _, at := range []time.Time{time.UnixMilli(0), time.UnixMilli(999999999999999)} {
			_, _, reason := g.check(from, wire.SignDatagram(nil, testSecret, at, []byte("1")))
			require.Equal(t, droppedReplayed, reason)
		}
	})
}

func TestSenders(t *testing.T) {
	for _, c := range []struct {
		allow   string
		sender  string
		allowed bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"192.0.2.1/24", "192.0.2.200", true}, // host bits are ignored
		{"192.0.2.0/24", "192.0.3.0", false},
		{"0.0.0.0/0", "::ffff:8.8.8.8", true},
		{"0.0.0.0/0", "2001:db8::1", false},
		{"::/0", "2001:db8::1", true},
		{"::/0", "192.0.2.1", false},
		{"::ffff:192.0.2.1", "192.0.2.1", true},
		{"::ffff:192.0.2.0/120", "192.0.2.200", true},
		{"::ffff:192.0.2.0/120", "192.0.3.0", false},
		{"2001:db8::/32", "2001:db8:1::1", true},
		{"2001:db8::/32", "2001:db9::", false},
		{"fe80::/10", "fe80::1%eth0", true},
		{"fe80::1", "fe80::1%7", true},
		{"fe80::1", "fe80::2%7", false},
	} {
		g, err := newPacketFilter(&Config{Allow: senders(t, c.allow)})
		require.NoError(t, err)
		payload, _, reason := g.check(netip.MustParseAddr(c.sender), []byte("1"))
		if c.allowed {
			require.Equal(t, []any{"1", ""}, []any{string(payload), reason}, c)
		} else {
			require.Equal(t, []any{"", "sender"}, []any{string(payload), reason}, c)
		}
	}
}

func BenchmarkGuard(b *testing.B) {
	datagram := wire.SignDatagram(nil, testSecret, time.Now(), bytes.Repeat([]byte("x"), 200))
	from := netip.MustParseAddr("::ffff:192.0.2.1")
	for name, cfg := range map[string]Config{
		"off":     {},
		"allowed": {Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.0/24")}},
		"signed":  {Secret: testSecret},
	} {
		b.Run(name, func(b *testing.B) {
			g, err := newPacketFilter(&cfg)
			require.NoError(b, err)
			for b.Loop() {
				g.check(from, datagram)
			}
		})
	}
}
