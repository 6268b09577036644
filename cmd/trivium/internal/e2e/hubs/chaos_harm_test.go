//go:build unix

package hubs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/natstest"
)

// faults contains one method for each kind of fault. The method causes the fault, waits for the given
// duration, and repairs it.
var faults = []func(*chaos, time.Duration){
	(*chaos).killServer, (*chaos).killHub, (*chaos).cutHub, (*chaos).pauseServer,
	(*chaos).pauseWhileDown, (*chaos).slowLinks, (*chaos).damageReplica, (*chaos).startBeforeNATS,
	(*chaos).restoreStore, (*chaos).loseRights, (*chaos).leaderClockAhead,
}

func (c *chaos) killServer(hold time.Duration) {
	i := c.rng.IntN(clusterSize)
	c.t.Logf("NATS server %d is killed for %v", i, hold)
	c.killNATS(i)
	time.Sleep(hold)
	c.startNATS(i)
}

func (c *chaos) killHub(hold time.Duration) {
	i := c.rng.IntN(clusterSize)
	c.t.Logf("hub %d is killed for %v", i, hold)
	c.hubs[i].Signal(syscall.SIGKILL)
	c.hubs[i].Wait()
	time.Sleep(hold)
	c.startHub(i)
}

func (c *chaos) cutHub(hold time.Duration) {
	i := c.rng.IntN(clusterSize)
	c.t.Logf("hub %d is disconnected from NATS for %v", i, hold)
	c.withToxics(i, hold, `{"name":"hole","type":"timeout","stream":"downstream","attributes":{"timeout":0}}`)
}

// slowLinks delays the connections between a hub and NATS by 50 ms in each direction, and limits them to 1 MB/s.
func (c *chaos) slowLinks(hold time.Duration) {
	i := c.rng.IntN(clusterSize)
	c.t.Logf("hub %d has slow links for %v", i, hold)
	c.withToxics(i, hold,
		`{"name":"far","type":"latency","stream":"downstream","attributes":{"latency":50}}`,
		`{"name":"far up","type":"latency","stream":"upstream","attributes":{"latency":50}}`,
		`{"name":"narrow","type":"bandwidth","stream":"downstream","attributes":{"rate":1000}}`)
}

func (c *chaos) withToxics(hub int, hold time.Duration, toxics ...string) {
	for _, p := range c.proxies[hub] {
		for _, toxic := range toxics {
			_, err := p.Toxics.AddToxicJson(strings.NewReader(toxic))
			require.NoError(c.t, err)
		}
	}
	time.Sleep(hold)
	for _, p := range c.proxies[hub] {
		for _, toxic := range toxics {
			var named struct{ Name string }
			require.NoError(c.t, json.Unmarshal([]byte(toxic), &named))
			require.NoError(c.t, p.Toxics.RemoveToxic(context.Background(), named.Name))
		}
	}
}

func (c *chaos) pauseServer(hold time.Duration) {
	i := c.rng.IntN(clusterSize)
	c.t.Logf("NATS server %d is paused for %v", i, hold)
	c.pause(i, hold)
}

func (c *chaos) pause(server int, hold time.Duration) {
	require.NoError(c.t, c.nats[server].Process.Signal(syscall.SIGSTOP))
	time.Sleep(hold)
	require.NoError(c.t, c.nats[server].Process.Signal(syscall.SIGCONT))
}

// pauseWhileDown pauses one server while another one is down. Because two of three servers then do
// not respond, nothing can be published.
func (c *chaos) pauseWhileDown(hold time.Duration) {
	down := c.rng.IntN(clusterSize)
	paused := (down + 1) % clusterSize
	c.t.Logf("NATS server %d is paused for %v while server %d is down", paused, hold, down)
	c.killNATS(down)
	c.pause(paused, hold)
	c.startNATS(down)
}

// startBeforeNATS starts a hub while it cannot connect to NATS.
func (c *chaos) startBeforeNATS(hold time.Duration) {
	i := c.rng.IntN(clusterSize)
	c.t.Logf("hub %d is started %v before it can connect to NATS", i, hold)
	c.hubs[i].Signal(syscall.SIGKILL)
	c.hubs[i].Wait()
	for _, p := range c.proxies[i] {
		p.Stop()
	}
	reached := make(chan error, clusterSize)
	go func() {
		time.Sleep(hold)
		for _, p := range c.proxies[i] {
			reached <- p.Start()
		}
	}()
	c.startHub(i)
	for range c.proxies[i] {
		require.NoError(c.t, <-reached)
	}
}

// damageReplica damages the files of a server that is not the stream's leader. After a while, it
// repairs the server as the hub's log advises: it deletes the server's copy of the stream, and the
// server then fetches a new copy from the other servers.
func (c *chaos) damageReplica(hold time.Duration) {
	i := c.follower()
	c.t.Logf("NATS server %d has damaged files for %v", i, hold)
	c.killNATS(i)
	stream := filepath.Join(c.places[i].Store, "jetstream", "$G", "streams", "trivium")
	for len(blocksIn(c.t, stream)) == 0 { // waits until the server has written a message
		c.startNATS(i)
		c.untilCurrent()
		c.killNATS(i)
	}
	c.damage(stream)
	c.startNATS(i)
	time.Sleep(hold)
	c.killNATS(i)
	require.NoError(c.t, os.RemoveAll(stream))
	c.startNATS(i)
	c.untilCurrent()
}

// blocksIn returns the paths of the files in a stream's directory that contain messages.
func blocksIn(t *testing.T, stream string) []string {
	blocks, err := filepath.Glob(filepath.Join(stream, "msgs", "*.blk"))
	require.NoError(t, err)
	return blocks
}

// damage flips bits in the middle of a file that contains messages, and deletes the server's index of
// the messages.
func (c *chaos) damage(stream string) {
	blocks := blocksIn(c.t, stream)
	path := blocks[c.rng.IntN(len(blocks))]
	content, err := os.ReadFile(path)
	require.NoError(c.t, err)
	for range 5 {
		if len(content) > 0 {
			content[len(content)/4+c.rng.IntN(1+len(content)/2)] ^= 1 << c.rng.IntN(8)
		}
	}
	require.NoError(c.t, os.WriteFile(path, content, 0o600))
	_ = os.Remove(filepath.Join(filepath.Dir(path), "index.db")) // the server may not have written it yet
}

// stream returns information about the stream, which it requests from any server that accepts a connection.
func (c *chaos) stream() (*jetstream.StreamInfo, error) {
	var urls []string
	for _, place := range c.places {
		urls = append(urls, fmt.Sprintf("nats://%s127.0.0.1:%d", place.User(natstest.AdminUser), place.Port))
	}
	conn, err := nats.Connect(strings.Join(urls, ","))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	stream, err := js.Stream(ctx, "trivium")
	if err != nil {
		return nil, err
	}
	return stream.CachedInfo(), nil
}

// follower returns the index of a server that is not the stream's leader.
func (c *chaos) follower() int { return (c.leader() + 1 + c.rng.IntN(clusterSize-1)) % clusterSize }

// leader returns the index of the server that is the stream's leader.
func (c *chaos) leader() (server int) {
	require.Eventually(c.t, func() bool {
		info, err := c.stream()
		if err != nil || info.Cluster == nil || info.Cluster.Leader == "" {
			return false
		}
		for i, place := range c.places {
			if place.Name == info.Cluster.Leader {
				server = i
			}
		}
		return true
	}, hubtest.Patience, 100*time.Millisecond)
	return server
}

// untilCurrent waits until all servers have all messages of the stream.
func (c *chaos) untilCurrent() {
	require.Eventually(c.t, func() bool {
		info, err := c.stream()
		if err != nil || info.Cluster == nil || len(info.Cluster.Replicas) != clusterSize-1 {
			return false
		}
		for _, r := range info.Cluster.Replicas {
			if !r.Current || r.Offline {
				return false
			}
		}
		return true
	}, hubtest.Patience, 100*time.Millisecond)
}

// compareLogs reads from each hub the events that are newer than those already compared, and compares them
// byte by byte. If it reads more events from some hubs than from others, it compares only as many as it has
// read from all.
func (c *chaos) compareLogs() {
	var logs [clusterSize][]byte
	var ends [clusterSize]string
	for i := range c.hubs {
		logs[i], ends[i] = c.readLog(i)
	}
	common := len(logs[0])
	for _, log := range logs[1:] {
		common = min(common, len(log))
	}
	common = bytes.LastIndexByte(logs[0][:common], '\n') + 1
	for i, log := range logs {
		require.True(c.t, bytes.Equal(logs[0][:common], log[:common]), "the logs of hubs 0 and %d differ after %s", i, c.same)
	}
	for i, log := range logs {
		if len(log) == common {
			c.same = ends[i]
		}
	}
}

// readLog returns the events of a hub after the cursor c.same, one per line, and the cursor of the newest of
// these events.
func (c *chaos) readLog(hub int) (log []byte, end string) {
	end = c.same
	for {
		response, err := c.client.Get("http://" + c.where[hub] + "/poll?wait=1&max=1000&topic=c.*&cursor=" + end)
		require.NoError(c.t, err)
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		require.NoError(c.t, err)
		if response.StatusCode == http.StatusServiceUnavailable {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		require.Equal(c.t, http.StatusOK, response.StatusCode, "%s", text)
		var answer struct {
			Cursor string
			Gap    json.RawMessage
			Events []json.RawMessage
		}
		require.NoError(c.t, json.Unmarshal(text, &answer))
		require.Empty(c.t, answer.Gap)
		for _, event := range answer.Events {
			log = append(append(log, event...), '\n')
		}
		if len(answer.Events) > 0 {
			end = answer.Cursor
		}
		if len(answer.Events) < 1000 {
			return log, end
		}
	}
}
