package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jetstream"
)

// eachBatch is the number of events per call of PublishEach. It equals the number of events that the
// hub's UDP source passes to PublishEach in one call.
const eachBatch = 512

// publisher publishes events inside a child process.
type publisher struct {
	some func(topics []string, data []byte) error // publishes one event per topic
	done func() error                             // waits until all published events have been processed
	end  func() error
}

// runPublish is the main function of the child processes that publish. It publishes events, which have
// no subscribers, for the configured duration, and waits until all of them have been processed.
func runPublish(stderr io.Writer, cfg *Config, role string) (err error) {
	open := map[string]func(*Config) (*publisher, error){ChildPublish: openMemory, ChildEngine: openEngine, ChildJetStream: openJetStream}[role]
	p, err := open(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.end()) }()
	topics := make([]string, 2*eachBatch)
	for i := range topics {
		topics[i] = topicOf(uint32(i + 1))
	}
	data := make([]byte, cfg.Size)
	stamp{}.put(data)
	run := func(least int64, d time.Duration) (n int64, err error) {
		for end := time.Now().Add(d); n < least || time.Now().Before(end); n += int64(len(topics)) {
			if err := p.some(topics, data); err != nil {
				return 0, err
			}
		}
		return n, p.done()
	}
	if _, err := run(hub.DefaultRetainEvents, cfg.Duration/4); err != nil { // fills the log until retention starts to remove events
		return err
	}
	before, err := cpuOf(os.Getpid())
	if err != nil {
		return err
	}
	start := time.Now()
	n, err := run(0, cfg.Duration)
	if err != nil {
		return err
	}
	wall := time.Since(start)
	after, err := cpuOf(os.Getpid())
	if err != nil {
		return err
	}
	return json.NewEncoder(stderr).Encode(address{Message: listening, Events: n, CPU: after - before, Wall: wall})
}

// openMemory returns a publisher that publishes events one at a time to a hub with the memory engine.
func openMemory(*Config) (*publisher, error) {
	h, err := hub.New(hub.Config{})
	if err != nil {
		return nil, err
	}
	some := func(topics []string, data []byte) error {
		for _, topic := range topics {
			if _, err := h.Publish(context.Background(), &hub.Event{Topic: topic, Data: data}); err != nil {
				return err
			}
		}
		return nil
	}
	return &publisher{some: some, done: func() error { return nil }, end: h.Close}, nil
}

// openHub opens a hub with the configured engine and the given retention of its log.
func openHub(cfg *Config, keep hub.Retention) (*hub.Hub, error) {
	engine, err := jetstream.New(jetstream.Config{
		Store: cfg.Store, URL: cfg.NATSURL, Stream: cfg.Stream, Replicas: cfg.Replicas, MaxEventSize: engineEventBytes, Retention: keep,
	})
	if err != nil {
		return nil, err
	}
	return hub.New(hub.Config{Engine: engine, MaxEventSize: engineEventBytes})
}

// openEngine returns a publisher that publishes batches as the hub's UDP source does: in order, but not
// atomically. Its function done waits until the hub has received the events from the engine.
func openEngine(cfg *Config) (*publisher, error) {
	h, err := openHub(cfg, hub.Retention{})
	if err != nil {
		return nil, err
	}
	var last hub.Cursor
	some := func(topics []string, data []byte) (err error) {
		for len(topics) > 0 && err == nil {
			events := make([]*hub.Event, min(len(topics), eachBatch))
			for i := range events {
				events[i] = &hub.Event{Topic: topics[i], Data: data}
			}
			topics = topics[len(events):]
			last, err = h.PublishEach(context.Background(), events...)
		}
		return err
	}
	return &publisher{some: some, done: func() error { return delivered(h, last) }, end: h.Close}, nil
}

// delivered blocks until the engine has returned to the hub all events up to and including the event at the
// cursor last. It returns an error if this takes longer than the time patience.
func delivered(h *hub.Hub, last hub.Cursor) error {
	for end := time.Now().Add(patience); h.Position().Seq < last.Seq; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return errors.New("the engine did not return all published events to the hub in time")
		}
	}
	return nil
}

// openJetStream returns a publisher that calls PublishAsync of the NATS client. It lets a hub create
// the stream, so that the stream has the same settings.
func openJetStream(cfg *Config) (*publisher, error) {
	h, err := openHub(cfg, hub.Retention{})
	if err != nil {
		return nil, err
	}
	if err := h.Close(); err != nil {
		return nil, err
	}
	prefix := cmp.Or(cfg.Stream, jetstream.DefaultStream) + "."
	conn, end, err := connectNATS(cfg)
	if err != nil {
		return nil, err
	}
	p := &publisher{end: func() error { end(); return nil }}
	failed := make(chan error, 1)
	js, err := natsjs.New(conn, natsjs.WithPublishAsyncErrHandler(func(_ natsjs.JetStream, _ *nats.Msg, err error) {
		select {
		case failed <- err:
		default:
		}
	}))
	if err != nil {
		return nil, errors.Join(err, p.end())
	}
	p.some = func(topics []string, data []byte) error {
		for _, topic := range topics {
			_, err := js.PublishAsync(prefix+topic, data)
			for errors.Is(err, natsjs.ErrTooManyStalledMsgs) { // the client waits up to 200 ms each time, for example for a slow disk
				_, err = js.PublishAsync(prefix+topic, data)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	p.done = func() error {
		select {
		case <-js.PublishAsyncComplete():
		case <-time.After(patience):
			return errors.New("no acknowledgement from JetStream")
		}
		select {
		case err := <-failed:
			return err
		default:
			return nil
		}
	}
	return p, nil
}
