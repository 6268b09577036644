package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/trivium-hub/trivium/hub/jetstream"
)

// engineEventBytes is the size limit of events in hubs with an engine. It is larger than MaxSize,
// and small enough for every NATS server.
const engineEventBytes = 64 << 10

// engine holds the directories and NATS streams in which the measured hubs store their events. They
// are deleted after the run.
type engine struct {
	cfg  *Config
	dir  string  // directory of all stores
	nats *Server // NATS server that this process started; nil: none
	url  string
	logs []string // stores or streams that newLog has returned
}

// openEngine creates the directory for stores, and starts the NATS server if one is needed. The
// caller must call close, even after an error.
func (r *runner) openEngine() (_ *engine, err error) {
	e := &engine{cfg: r.cfg, url: r.cfg.NATSURL}
	if e.dir, err = os.MkdirTemp(r.cfg.Store, "trivium-bench-"); err != nil {
		return e, err
	}
	if r.cfg.Engine != EngineNATS || e.url != "" {
		return e, nil
	}
	if e.nats, err = r.start(nil, "bench", "--child", ChildNATS, "--store", filepath.Join(e.dir, "nats")); err == nil {
		e.url = e.nats.HTTP
	}
	return e, err
}

// close stops the NATS server that openEngine started and deletes the directory of all stores. If the
// hubs used another NATS server, close deletes their streams there.
func (e *engine) close() (err error) {
	if e.nats != nil {
		e.nats.stop()
	} else if e.url != "" && len(e.logs) > 0 {
		err = e.deleteStreams()
	}
	return errors.Join(err, os.RemoveAll(e.dir))
}

func (e *engine) deleteStreams() error {
	conn, err := nats.Connect(e.url)
	if err != nil {
		return fmt.Errorf("delete the streams %v: %w", e.logs, err)
	}
	defer conn.Close()
	js, err := natsjs.New(conn)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, name := range e.logs {
		if failed := js.DeleteStream(ctx, name); failed != nil && !errors.Is(failed, natsjs.ErrStreamNotFound) {
			err = errors.Join(err, fmt.Errorf("delete the stream %s: %w", name, failed))
		}
	}
	return err
}

// cpu returns the CPU time of the NATS server, or 0 if the server is not a child.
func (e *engine) cpu() (time.Duration, error) {
	if e == nil || e.nats == nil {
		return 0, nil
	}
	return e.nats.cpu()
}

// newLog chooses a name for a new log and returns the flags of a hub that uses this log. Child processes
// of the benchmark accept the same flags.
func (e *engine) newLog() []string {
	// The name of the directory is random, so the names of streams are too.
	name := fmt.Sprintf("%s-%d", filepath.Base(e.dir), len(e.logs)+1)
	e.logs = append(e.logs, name)
	flags := []string{"--engine", e.cfg.Engine}
	if e.cfg.Engine == EngineEmbedded {
		return append(flags, "--store", filepath.Join(e.dir, name))
	}
	return append(flags, "--nats-url", e.url, "--nats-stream", name, "--replicas", strconv.Itoa(max(e.cfg.Replicas, 1)))
}

// runServer is the main function of the child process nats: a NATS server on loopback, configured like
// the server of the embedded engine. It runs until it is killed.
func runServer(stderr io.Writer, dir string) error {
	s, err := Start(&natsserver.Options{Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, StoreDir: dir})
	if err != nil {
		return err
	}
	if err := announce(stderr, s.ClientURL(), ""); err != nil {
		return err
	}
	s.WaitForShutdown()
	return errors.New("the NATS server exited")
}

// Start starts a NATS server that syncs to disk as often as the server of the embedded engine.
func Start(options *natsserver.Options) (*natsserver.Server, error) {
	options.NoSigs, options.NoLog, options.JetStream, options.SyncInterval = true, true, true, jetstream.SyncInterval
	s, err := natsserver.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("NATS server: %w", err)
	}
	s.Start()
	if !s.ReadyForConnections(startPatience) || !s.JetStreamEnabled() {
		s.Shutdown()
		return nil, errors.New("the NATS server did not start")
	}
	return s, nil
}
