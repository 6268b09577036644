//go:build unix

package hubs

import (
	"encoding/json"
	"os"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// restoreStore copies the store of a NATS server. After a while, it stops the server, replaces the
// store by the older copy, as restoring a disk snapshot would, and starts the server. The server then
// fetches the missing messages from the other servers.
func (c *chaos) restoreStore(hold time.Duration) {
	i := c.rng.IntN(clusterSize)
	c.t.Logf("the store of NATS server %d is restored from a copy that is %v old", i, hold)
	dir, before := c.places[i].Store, c.t.TempDir()
	c.killNATS(i)
	require.NoError(c.t, os.CopyFS(before, os.DirFS(dir)))
	c.startNATS(i)
	c.untilCurrent()
	time.Sleep(hold)
	c.killNATS(i)
	require.NoError(c.t, os.RemoveAll(dir))
	require.NoError(c.t, os.CopyFS(dir, os.DirFS(before)))
	c.startNATS(i)
	c.untilCurrent()
}

// loseRights denies the hubs' NATS user some permissions on all servers, and grants them again after a while.
func (c *chaos) loseRights(hold time.Duration) {
	all := [][]string{
		{"trivium.>"}, // needed to publish
		{"$JS.API.CONSUMER.CREATE.>", "$JS.API.CONSUMER.MSG.NEXT.>"}, // needed to consume
		{"$JS.API.DIRECT.GET.>", "$JS.API.STREAM.MSG.GET.>"},         // needed to read single messages
		{"$JS.API.STREAM.INFO.>"},
		{">"},
	}
	denied := all[c.rng.IntN(len(all))]
	c.t.Logf("the hubs may not publish to %q for %v", denied, hold)
	c.deny(denied)
	time.Sleep(hold)
	c.deny([]string{})
}

func (c *chaos) deny(subjects []string) {
	text, err := json.Marshal(subjects)
	require.NoError(c.t, err)
	for i, place := range c.places {
		hubtest.ReplaceFile(c.t, place.Rights, string(text))
		require.NoError(c.t, c.nats[i].Process.Signal(syscall.SIGHUP))
	}
}

// leaderClockAhead sets the clock of the stream's leader ahead by an hour, and sets it back after a while. If another
// server has become the leader meanwhile, it tries again.
func (c *chaos) leaderClockAhead(hold time.Duration) {
	for begin := time.Now(); ; {
		i := c.leader()
		c.t.Logf("the clock of NATS server %d, the leader, is an hour ahead for %v", i, hold)
		if !setClockAhead(c.t, c.nats[i].Process.Pid, time.Hour) {
			c.t.Logf("  skipped: on this system, the clock of a single process cannot be set")
			return
		}
		info, err := c.stream()
		isLeader := err == nil && time.Until(info.TimeStamp) > time.Hour/2 // by the leader's clock
		if isLeader {
			time.Sleep(hold)
		}
		setClockAhead(c.t, c.nats[i].Process.Pid, 0)
		if isLeader {
			return
		}
		require.Less(c.t, time.Since(begin), hubtest.Patience, "the server stays the stream's leader: %v", err)
	}
}
