package natstest

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// Start starts a NATS server in a separate process and waits until it listens. The caller must end the process.
func Start(t *testing.T, at Place) *exec.Cmd {
	self, err := os.Executable()
	require.NoError(t, err)
	place, err := json.Marshal(at)
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = []string{asNATS + "=" + string(place), "GORACE=atexit_sleep_ms=0"}
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", at.Port))
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, hubtest.Patience, 10*time.Millisecond)
	return cmd
}
