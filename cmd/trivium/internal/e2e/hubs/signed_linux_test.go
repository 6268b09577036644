package hubs

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/natstest"
	"github.com/trivium-hub/trivium/transports/udp"
)

// Two hubs on one NATS stream receive the same signed datagrams. Each datagram is published only once.
func TestSignedOncePerCluster(t *testing.T) {
	secret := []byte("a secret of datagrams")
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, secret, 0o600))
	args := append(hubtest.AnyPorts, "--auth", "none", "--engine", "nats", "--udp-secret-file", path, "--max-event-bytes", "64KiB")
	for !signedOnce(t, secret, append(args, "--nats-url", natstest.Serve(t).ClientURL())) {
		t.Log("a hub dropped datagrams because NATS did not answer in time")
	}
	skewed := hubtest.Start(t, hubtest.Program(t, nil, append(args, "--nats-url", natstest.Serve(t).ClientURL(), "--udp-skew", "2m")...))
	require.Contains(t, skewed.Log(), "remembers signed datagrams")
}

// signedOnce starts two hubs, sends each datagram twice to each of them, and checks that it is published
// once. It returns false if a hub dropped a datagram because NATS did not answer in time.
func signedOnce(t *testing.T, secret []byte, args []string) bool {
	const datagrams = 50
	hubs := []*hubtest.Process{hubtest.Start(t, hubtest.Program(t, nil, args...)), hubtest.Start(t, hubtest.Program(t, nil, args...))}
	var conns []net.Conn
	for _, p := range hubs {
		conn, err := net.Dial("udp", p.UDP)
		require.NoError(t, err)
		defer conn.Close()
		conns = append(conns, conn)
	}
	now := time.Now()
	for i := range datagrams {
		d := udp.Sign(nil, secret, now.Add(time.Duration(i)), []byte("1\n2"))
		for range 2 {
			for _, conn := range conns {
				_, err := conn.Write(d)
				require.NoError(t, err)
			}
		}
	}
	count := func() (events, replayed, dropped uint64) {
		for _, p := range hubs {
			s := p.Stats().UDP
			events, replayed, dropped = events+s.Events, replayed+s.Dropped["replayed"], dropped+s.Dropped["engine"]
		}
		return events, replayed, dropped
	}
	// A hub finds a datagram that it has already published in its own cache. If the other hub has published
	// the datagram, the stream already contains the event.
	require.Eventually(t, func() bool {
		events, replayed, dropped := count()
		return dropped > 0 || events+replayed >= 2*datagrams+2*datagrams+2*datagrams
	}, hubtest.Patience, 10*time.Millisecond)
	events, replayed, dropped := count()
	if dropped > 0 {
		return false
	}
	require.Equal(t, uint64(2*datagrams), events)
	require.Equal(t, uint64(2*datagrams+2*datagrams), replayed)
	// The hub may not have received the last events of the other hub from the stream yet.
	published := func() uint64 { return hubs[0].Stats().Events.Published }
	require.Eventually(t, func() bool { return published() >= 2*datagrams }, hubtest.Patience, 10*time.Millisecond)
	require.Equal(t, uint64(2*datagrams), published())
	return true
}
