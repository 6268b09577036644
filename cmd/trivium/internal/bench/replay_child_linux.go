package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jetstream"
)

// consumerBatch is the number of messages that JetStream's own consumer requests at a time. It is
// so high that the delay does not limit the consumer's rate.
const consumerBatch = 1 << 16

// runFill is the main function of the child process fill. It publishes events to a new log: first the
// events that the scenario replay reads, and then filler events.
func runFill(stderr io.Writer, cfg *Config) (err error) {
	h, err := openHub(cfg, replayRetention(cfg.Events, cfg.Size))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	begin := h.Position()
	next := 0
	event := func() *hub.Event {
		data := make([]byte, cfg.Size)
		stamp{seq: uint32(next)}.put(data)
		next++
		return &hub.Event{Topic: topicOf(0), Data: data}
	}
	if err := publishEach(h, cfg.Events, eachBatch, event); err != nil {
		return err
	}
	filler := make([]byte, fillerSize)
	stamp{}.put(filler)
	err = publishEach(h, fillerBytes/fillerSize, eachBatch/16, func() *hub.Event { return &hub.Event{Topic: topicOf(1), Data: filler} })
	if err != nil {
		return err
	}
	return json.NewEncoder(stderr).Encode(address{Message: listening, Cursor: begin.String()})
}

// publishEach publishes n events in batches, and waits until the hub has received them from the engine.
func publishEach(h *hub.Hub, n, batch int, event func() *hub.Event) error {
	var last hub.Cursor
	for n > 0 {
		events := make([]*hub.Event, min(n, batch))
		for i := range events {
			events[i] = event()
		}
		n -= len(events)
		var err error
		if last, err = h.PublishEach(context.Background(), events...); err != nil {
			return err
		}
	}
	return delivered(h, last)
}

// runConsumer is the main function of the child process consumer. It reads the events of the scenario
// replay with the ordered consumer of the NATS client.
func runConsumer(stderr io.Writer, cfg *Config) error {
	conn, end, err := connectNATS(cfg)
	if err != nil {
		return err
	}
	defer end()
	js, err := natsjs.New(conn)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	before, err := cpuOf(os.Getpid())
	if err != nil {
		return err
	}
	start := time.Now()
	consumer, err := js.OrderedConsumer(ctx, cmp.Or(cfg.Stream, jetstream.DefaultStream), natsjs.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	var read atomic.Int64
	done := make(chan struct{})
	reading, err := consumer.Consume(func(natsjs.Msg) {
		if read.Add(1) == int64(cfg.Events) {
			close(done)
		}
	}, natsjs.PullMaxMessages(consumerBatch))
	if err != nil {
		return err
	}
	defer reading.Stop()
	for seen := int64(-1); ; {
		select {
		case <-done:
		case <-time.After(patience):
			if n := read.Load(); n > seen {
				seen = n
				continue
			}
			return fmt.Errorf("JetStream's consumer received %d of %d events", read.Load(), cfg.Events)
		}
		break
	}
	wall := time.Since(start)
	after, err := cpuOf(os.Getpid())
	if err != nil {
		return err
	}
	return json.NewEncoder(stderr).Encode(address{Message: listening, Events: int64(cfg.Events), CPU: after - before, Wall: wall})
}

// connectNATS connects to the configured servers, or starts a server on the configured store. end closes the
// connection and stops that server.
func connectNATS(cfg *Config) (conn *nats.Conn, end func(), err error) {
	var options []nats.Option
	stop := func() {}
	if cfg.Store != "" {
		s, err := Start(&natsserver.Options{DontListen: true, StoreDir: cfg.Store})
		if err != nil {
			return nil, nil, err
		}
		stop = func() { s.Shutdown(); s.WaitForShutdown() }
		options = append(options, nats.InProcessServer(s))
	}
	if conn, err = nats.Connect(cfg.NATSURL, options...); err != nil {
		stop()
		return nil, nil, err
	}
	return conn, func() { conn.Close(); stop() }, nil
}
