//go:build unix

package hubs

import (
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/natstest"
	"github.com/trivium-hub/trivium/hub/testkit"
)

// The test starts a hub with a NATS cluster that is not complete. Therefore the hub is connected to NATS but
// cannot finish its start. A signal must end the hub.
func TestSignalDuringStart(t *testing.T) {
	ports := testkit.FreePorts(t, 4)
	nats := natstest.Start(t, natstest.Place{Name: "alone", Port: ports[0], Peers: ports[1:], Store: t.TempDir()})
	t.Cleanup(func() {
		_ = nats.Process.Kill()
		_ = nats.Wait()
	})
	where := fmt.Sprintf("127.0.0.1:%d", ports[0])

	relay, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer relay.Close()
	cmd := hubtest.Binary(t, append(hubtest.AnyPorts, "--engine", "nats", "--nats-url", "nats://"+relay.Addr().String(), "--replicas", "3")...)
	require.NoError(t, cmd.Start())
	in, err := relay.Accept() // the hub has started to connect
	require.NoError(t, err)
	defer in.Close()
	out, err := net.Dial("tcp", where)
	require.NoError(t, err)
	defer out.Close()
	var copying sync.WaitGroup
	defer copying.Wait()
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		copying.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // returns after either connection has been closed
			way[0].Close()
		})
	}
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait())
}
