package connection_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
)

// openFiles returns how many files the process has open.
func openFiles(t *testing.T) int {
	files, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(files)
}

// A connection leaves no descriptor open, whichever side ends it. The test is not parallel, so that no
// other test opens files at the same time.
func TestConnectionsLeakNoDescriptors(t *testing.T) {
	const connections, size = 30, 1 << 20
	for name, end := range map[string]func(*connection.Writer, net.Conn){
		"client": func(_ *connection.Writer, c net.Conn) { c.Close() },
		"hub":    func(w *connection.Writer, _ net.Conn) { w.Close() },
		"goaway": func(w *connection.Writer, _ net.Conn) { w.Goaway(time.Second) },
	} {
		for kind, blocked := range map[string]bool{"idle": false, "blocked": true} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				b := newBench(t, 0, longTimeout)
				_, first := b.connect() // starts the poller, which opens a file
				before := openFiles(t)
				writers, clients := make([]*connection.Writer, connections), make([]net.Conn, connections)
				for i := range connections {
					writers[i], clients[i] = b.connect()
				}
				if blocked {
					b.publish(0, 1, size)
					require.Eventually(t, func() bool { return b.counters.Delivered.Load() == connections+1 }, longTimeout, time.Millisecond)
				}
				require.GreaterOrEqual(t, openFiles(t), before+connections)
				for i, w := range writers {
					end(w, clients[i])
				}
				for _, c := range clients {
					_, _ = io.Copy(io.Discard, c) // returns an error if end has closed c
					c.Close()
				}
				require.Eventually(t, func() bool { return b.counters.Connections.Load() == 1 }, longTimeout, time.Millisecond)
				require.Eventually(t, func() bool { return openFiles(t) < before+connections/2 }, longTimeout, time.Millisecond)
				first.Close()
			})
		}
	}
}

// Many connections are opened and closed while events are written to them, so that the kernel reuses
// descriptor numbers immediately. Each connection subscribes to a topic of its own, and receives only
// events of that topic.
func TestReusedDescriptorsReceiveNothingOld(t *testing.T) {
	t.Parallel()
	const workers, rounds, size = 8, 40, 20_000
	b := newBench(t, 0, longTimeout)
	var topics [workers]atomic.Pointer[string]
	for i := range topics {
		name := "none"
		topics[i].Store(&name)
	}
	stop := make(chan struct{})
	var publisher, all sync.WaitGroup
	publisher.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			topic := *topics[i%workers].Load()
			data := `"` + topic + strings.Repeat("x", i%3*size) + `"`
			if _, err := b.hub.Publish(context.Background(), &hub.Event{Topic: topic, Data: []byte(data)}); err != nil {
				t.Errorf("publish: %v", err)
			}
		}
	})
	var accepting sync.Mutex // held from Dial to Accept, so that Accept returns the connection just dialed
	for worker := range workers {
		all.Go(func() {
			for round := range rounds {
				topic := fmt.Sprintf("w%d-%d", worker, round)
				w, client, err := b.connectTo(&accepting, topic)
				if err != nil {
					t.Errorf("connect: %v", err)
					return
				}
				topics[worker].Store(&topic)
				if err := onlyOwn(client, topic, 1+round%4); err != nil {
					t.Errorf("%s: %v", topic, err)
				}
				switch rand.N(3) {
				case 0:
					w.Close()
				case 1:
					go w.Close()
				}
				client.Close()
			}
		})
	}
	all.Wait()
	close(stop)
	publisher.Wait()
	require.Eventually(t, func() bool { return b.counters.Connections.Load() == 0 }, longTimeout, time.Millisecond)
}

// connectTo is like connect, but subscribes to one topic, and may be called in any goroutine.
func (b *bench) connectTo(accepting *sync.Mutex, topic string) (*connection.Writer, net.Conn, error) {
	accepting.Lock()
	client, err := net.Dial("tcp", b.listener.Addr().String())
	var server net.Conn
	if err == nil {
		server, err = b.listener.Accept()
	}
	accepting.Unlock()
	if err != nil {
		return nil, nil, err
	}
	filter, err := hub.ParseFilter(topic)
	if err != nil {
		return nil, nil, err
	}
	filters := hub.NewFilterSet(filter)
	w := connection.New()
	s, err := b.hub.Subscribe(hub.Request{Filters: filters}, w)
	if err != nil {
		return nil, nil, err
	}
	token := tt.NewToken(&auth.Grant{Subscribe: filters})
	if !w.Start(&b.cfg, token, s, connection.NewConn(server, b.cfg.WriteTimeout), []byte("open "+topic+"\n")) {
		return nil, nil, errors.New("draining")
	}
	return w, client, client.SetDeadline(time.Now().Add(longTimeout))
}

// onlyOwn reads the opening line and n events of a topic. It returns an error if it receives any other
// line, except a gap: a client that was paused may receive gaps.
func onlyOwn(client net.Conn, topic string, n int) error {
	r := bufio.NewReader(client)
	for read := 0; read <= n; {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		ours := line == "open "+topic+"\n"
		if read > 0 {
			if line == "gap\n" {
				continue
			}
			rest, found := strings.CutPrefix(line, `event "`+topic)
			ours = found && strings.TrimLeft(rest, "x") == "\"\n"
		}
		if !ours {
			return fmt.Errorf("received %.60q", line)
		}
		read++
	}
	return nil
}
