package udp

import (
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/trivium-hub/trivium/hub"
)

// sendToGroup sends a datagram to a multicast group over the loopback interface.
func sendToGroup(t *testing.T, group, text string) {
	t.Helper()
	conn, err := net.Dial("udp", group)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	raw, err := conn.(*net.UDPConn).SyscallConn()
	require.NoError(t, err)
	lo, err := net.InterfaceByName("lo")
	require.NoError(t, err)
	var optErr error
	require.NoError(t, raw.Control(func(fd uintptr) {
		optErr = unix.SetsockoptIPMreqn(int(fd), unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(lo.Index)})
	}))
	require.NoError(t, optErr)
	_, err = conn.Write([]byte(text))
	require.NoError(t, err)
}

// The source receives datagrams to the group. It does not receive datagrams to the machine's own
// addresses or to another group.
func TestGroupIsJoined(t *testing.T) {
	events := make(chan *hub.Event, 1)
	s := listen(t, Config{Addr: "239.255.42.1:0", Interface: "lo", Publish: takeAllTo(events)})
	_, port, err := net.SplitHostPort(s.Addr().String())
	require.NoError(t, err)
	require.Equal(t, "239.255.42.1:"+port, s.Addr().String())
	r := start(t, s)
	if own, err := net.ListenPacket("udp4", "127.0.0.1:"+port); err == nil { // an error means that another program uses the port; it would receive the datagram
		defer own.Close()
		_, err = own.WriteTo([]byte(`"to this machine"`), own.LocalAddr())
		require.NoError(t, err)
	}
	sendToGroup(t, "239.255.42.2:"+port, `"to another group"`)
	sendToGroup(t, "239.255.42.1:"+port, `"to the group"`)
	require.Equal(t, `"to the group"`, string((<-events).Data))
	r.stop()
	require.Equal(t, uint64(1), s.Stats().Datagrams)
}

// If a group cannot be joined, Listen returns an error instead of a source that receives nothing.
func TestGroupIsRefused(t *testing.T) {
	format := Format{Topic: "a"}
	_, err := Listen(Config{Addr: "239.255.42.1:0", Interface: "nowhere0", Format: format, Publish: publishNothing})
	require.ErrorContains(t, err, `interface "nowhere0"`)
	_, err = Listen(Config{Addr: fmt.Sprintf("[ff02::%x]:0", 0x42), Interface: "nowhere0", Format: format, Publish: publishNothing})
	require.ErrorContains(t, err, `interface "nowhere0"`)
}
