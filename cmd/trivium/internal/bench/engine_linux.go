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

// engineEventBytes is the limit on events of hubs with an engine: more than MaxSize, and less than any
// NATS server takes.
const engineEventBytes = 64 << 10

// engine is where the hubs that are measured keep their events. All of it ends with the run.
type engine struct {
	cfg  *Config
	dir  string  // of all stores
	nats *server // nil: an outside one, or none
	url  string
	logs []string // stores or streams that were given out
}

// openEngine makes a place for the stores, and starts the NATS server if it takes one. What it gives is
// to be closed whatever the error.
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

// close ends the server, and deletes all that was kept: of an outside server its streams.
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

// cpu is that of the server, where it is a child.
func (e *engine) cpu() (time.Duration, error) {
	if e == nil || e.nats == nil {
		return 0, nil
	}
	return e.nats.cpu()
}

// newLog gives the flags of hubs that have one log for themselves. They are also those of a child.
func (e *engine) newLog() []string {
	// The directory's name is random; so are the streams'.
	name := fmt.Sprintf("%s-%d", filepath.Base(e.dir), len(e.logs)+1)
	e.logs = append(e.logs, name)
	flags := []string{"--engine", e.cfg.Engine}
	if e.cfg.Engine == EngineEmbedded {
		return append(flags, "--store", filepath.Join(e.dir, name))
	}
	return append(flags, "--nats-url", e.url, "--nats-stream", name, "--replicas", strconv.Itoa(max(e.cfg.Replicas, 1)))
}

// runNATS is the child: a NATS server on loopback, as an embedded one is but for that. It ends by being
// killed.
func runNATS(stderr io.Writer, dir string) error {
	s, err := startNATS(&natsserver.Options{Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, StoreDir: dir})
	if err != nil {
		return err
	}
	if err := announce(stderr, s.ClientURL(), ""); err != nil {
		return err
	}
	s.WaitForShutdown()
	return errors.New("the NATS server has ended")
}

// startNATS starts a server that writes to disk as often as an embedded one.
func startNATS(options *natsserver.Options) (*natsserver.Server, error) {
	options.NoSigs, options.NoLog, options.JetStream, options.SyncInterval = true, true, true, jetstream.SyncInterval
	s, err := natsserver.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("NATS server: %w", err)
	}
	s.Start()
	if !s.ReadyForConnections(startPatience) || !s.JetStreamEnabled() {
		s.Shutdown()
		return nil, errors.New("the NATS server does not start")
	}
	return s, nil
}
