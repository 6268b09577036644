package main

import (
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/server"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/terminal"
)

// ServeCmd runs the hub.
type ServeCmd struct{ settings.ServeConfig }

// Help returns the part of the help that applies to all flags.
func (ServeCmd) Help() string {
	return "Every flag is also an environment variable (--max-topics is TRIVIUM_MAX_TOPICS) and a key of " +
		"the YAML file (max-topics). Precedence: flag, environment, file, default. Repeatable " +
		"settings are lists in YAML and comma-separated in a variable."
}

func (c *ServeCmd) check() []settings.Fault { return c.Faults(server.FileChecker{}) }

// Run runs the hub until the first SIGTERM or SIGINT, and then drains it. A second signal ends the process at once. On
// SIGHUP, the hub reads the files named by its settings again.
func (c *ServeCmd) Run(con *console) error {
	server.LimitMemory(c.NewLogger(con.Err))
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	reread := make(chan os.Signal, 1)
	signal.Notify(reread, syscall.SIGHUP) // also during the drain; by default, SIGHUP would end the process
	defer signal.Stop(reread)
	var s *server.Server
	started := make(chan error, 1)
	go func() {
		var err error
		s, err = server.New(&c.ServeConfig, con.Err)
		started <- err
	}()
	select {
	case err := <-started:
		if err != nil {
			return err
		}
	case got := <-signals: // opening the engine may take minutes; the exit of the process interrupts it
		c.NewLogger(con.Err).Info("interrupted during startup", "signal", got.String())
		return nil
	}
	s.Announce(con.Err, c.PrintToken || terminal.Attached(con.Err))
	failed := s.ServeUntil(signals, reread)
	ended := make(chan struct{})
	go func() {
		s.Shutdown()
		close(ended)
	}()
	select {
	case <-ended:
	case <-signals:
		return errors.New("exited before the drain ended: second signal")
	}
	return failed
}
