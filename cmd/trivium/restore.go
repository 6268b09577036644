package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/trivium-hub/trivium/hub/jetstream"
)

// RestoreCmd creates a store directory from a backup.
type RestoreCmd struct {
	Store string `required:"" placeholder:"DIR" help:"Directory of the store to create. It must be empty or not exist."`
	File  string `arg:"" help:"Backup to read; - is standard input."`
}

// Help returns the description of the command in its help text.
func (RestoreCmd) Help() string {
	return "The restored log begins a new epoch, because events may have been published after the backup: clients that resume " +
		"receive a gap and then all retained events. Run the command while no hub uses the store."
}

// Run restores the backup into the store directory.
func (c *RestoreCmd) Run(con *console) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	in := con.In
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	if err := jetstream.Restore(ctx, c.Store, in); err != nil {
		return err
	}
	_, err := fmt.Fprintf(con.Out, "%s: restored; serve it with --engine embedded --store %s\n", c.Store, c.Store)
	return err
}
