//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// A signal ends a hub whose start still waits for a NATS cluster.
func TestSignalDuringStart(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	ports := hubtest.FreePorts(t, 4)
	place, err := json.Marshal(natsPlace{Name: "alone", Port: ports[0], Peers: ports[1:], Store: t.TempDir()})
	require.NoError(t, err)
	nats := exec.Command(self)
	nats.Env = []string{asNATS + "=" + string(place)}
	require.NoError(t, nats.Start())
	t.Cleanup(func() {
		_ = nats.Process.Kill()
		_ = nats.Wait()
	})
	where := fmt.Sprintf("127.0.0.1:%d", ports[0])
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", where)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, hubtest.Patience, 10*time.Millisecond)

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
			_, _ = io.Copy(way[0], way[1]) // until one side closes
			way[0].Close()
		})
	}
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait())
}
