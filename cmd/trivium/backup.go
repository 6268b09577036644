package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
)

// BackupCmd writes the log of a running hub to a file.
type BackupCmd struct {
	AdminAccess
	File string `arg:"" help:"File to write; an existing file is replaced when the backup is complete. - is standard output."`
}

// Help returns the description of the command for its help text.
func (BackupCmd) Help() string {
	return "Writes a consistent snapshot of the log of a running hub with --engine embedded. trivium restore creates a store directory from it."
}

func (c *BackupCmd) check() []settings.Fault {
	return checkAdminURL(c.AdminURL)
}

// Run writes the backup to a temporary file in the same directory, and renames it when it is
// complete.
func (c *BackupCmd) Run(con *console) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	response, err := askAdmin(ctx, http.MethodGet, &c.AdminAccess, "/backup")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if c.File == "-" {
		_, err := io.Copy(con.Out, response.Body)
		return err
	}
	f, err := os.OpenFile(c.File+".part", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // other users must not read events
	if err != nil {
		return err
	}
	n, err := io.Copy(f, response.Body)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), c.File)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	_, err = fmt.Fprintf(con.Out, "%s: %d bytes\n", c.File, n)
	return err
}
