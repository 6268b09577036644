package hostile

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/stats"
	"github.com/trivium-hub/trivium/transports/udp"
)

var udpAttacks = []attack{
	{"a datagram that is sent again, not signed or forged, or whose time is too old or in the future", hostileDatagrams},
	{"a datagram from an address that --udp-allow does not contain", strangeSender},
}

// datagrams sends datagrams, waits until the hub has read all of them, and returns the hub's counters of the UDP source.
func (f *testbed) datagrams(t *testing.T, p *hubtest.Process, datagrams ...[]byte) *stats.Source {
	t.Helper()
	var before, s stats.Snapshot
	f.adminPage(t, p, "/stats", &before)
	conn, err := net.Dial("udp", p.UDP)
	require.NoError(t, err)
	defer conn.Close()
	for _, d := range datagrams {
		_, err := conn.Write(d)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		f.adminPage(t, p, "/stats", &s)
		return s.UDP.Datagrams == before.UDP.Datagrams+uint64(len(datagrams))
	}, hubtest.Patience, 10*time.Millisecond)
	return s.UDP
}

func hostileDatagrams(t *testing.T, f *testbed) {
	now := time.Now()
	sign := func(at time.Time, payload string) []byte {
		return udp.Sign(nil, f.udpKey, at, []byte(payload))
	}
	evil := breachIn("datagram")
	good := sign(now, `{"topic":"datagram","data":1}`)
	mac, rest, _ := bytes.Cut(good, []byte(" "))
	upper := append(append(bytes.ToUpper(mac), ' '), rest...)
	replayed := [][]byte{
		good, good, upper, // upper is good with its signature in upper case
		sign(now.Add(-31*time.Second), evil), sign(now.Add(-time.Hour), evil), sign(time.UnixMilli(0), evil),
		sign(now.Add(2*time.Minute), evil), sign(now.AddDate(1000, 0, 0), evil),
	}
	fresh := sign(now, evil)
	later := func(text []byte, by string) []byte { return bytes.Replace(text, []byte(" "), []byte(" "+by), 1) }
	forged := [][]byte{
		[]byte(evil), []byte(`{"topic":"datagram","data":"` + breach + `"}`), {}, []byte(" "), []byte("\n"), mac, append(bytes.Clone(mac), ' '),
		udp.Sign(nil, []byte("another secret"), now, []byte(evil)), udp.Sign(nil, append(bytes.Clone(f.udpKey), '\n'), now, []byte(evil)),
		udp.Sign(nil, []byte{0}, now, []byte(evil)), bytes.Replace(good, []byte("1}"), []byte(`"`+breach+`"}`), 1),
		append(bytes.Clone(fresh), '\n'), append([]byte(" "), fresh...), fresh[1:], fresh[:len(fresh)-1], later(fresh, " "), later(fresh, "1"), later(fresh, "-"),
		append([]byte(strings.Repeat("0", 64)+" "), fresh[65:]...), bytes.Replace(fresh, []byte(" "), []byte("\t"), 1), bytes.Repeat([]byte("."), 60_000),
		// These datagrams have a valid signature but an invalid time.
		signed(f.udpKey, "never "+evil), signed(f.udpKey, " "+evil), signed(f.udpKey, evil), signed(f.udpKey, "1e12 "+evil), signed(f.udpKey, "99999999999999999999 "+evil),
	}
	udp := f.datagrams(t, f.main, append(append([][]byte{good}, replayed...), forged...)...)
	require.EqualValues(t, 1, udp.Events, "only the first datagram is published")
	require.EqualValues(t, len(replayed), udp.Dropped["replayed"])
	require.EqualValues(t, len(forged), udp.Dropped["signature"])
	for _, reason := range []string{"malformed", "too_large", "topic", "type", "sender", "kernel"} {
		require.Zero(t, udp.Dropped[reason], reason)
	}
}

// signed returns a datagram that consists of a valid signature of content, a space, and content.
func signed(secret []byte, content string) []byte {
	return fmt.Appendf(nil, "%x %s", signature(secret, content), content)
}

func strangeSender(t *testing.T, f *testbed) {
	signed := udp.Sign(nil, f.udpKey, time.Now(), []byte(breachIn("datagram")))
	udp := f.datagrams(t, f.strict, signed, []byte(breachIn("datagram")), nil)
	require.Zero(t, udp.Events)
	require.EqualValues(t, 3, udp.Dropped["sender"])
	require.EqualValues(t, 3, f.metric(t, f.strict, `trivium_udp_dropped_total{reason="sender"}`))
}
