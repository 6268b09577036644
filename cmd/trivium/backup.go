package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/trivium-hub/trivium/hub/jetstream"
	"github.com/trivium-hub/trivium/transports"
	"github.com/trivium-hub/trivium/transports/problems"
)

// BackupCmd writes the log of a running hub to a file.
type BackupCmd struct {
	AdminAccess
	File string `arg:"" help:"File to write; an existing one is replaced once the backup is complete. - is standard output."`
}

// Help returns the description of the command in its help text.
func (BackupCmd) Help() string {
	return "Writes a consistent snapshot of the log of a running hub with --engine embedded. trivium restore makes a store directory from it."
}

func (c *BackupCmd) check() []fault {
	return checkAdminURL(c.AdminURL)
}

// Run writes the backup beside the file and renames it when it is complete.
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

// RestoreCmd makes a store directory from a backup.
type RestoreCmd struct {
	Store string `required:"" placeholder:"DIR" help:"Directory of the store to make. It must be empty or not exist."`
	File  string `arg:"" help:"Backup to read; - is standard input."`
}

// Help returns the description of the command in its help text.
func (RestoreCmd) Help() string {
	return "The restored log begins a new epoch: clients that resume get a gap and all retained events, since events may " +
		"have been published after the backup. Run it while no hub uses the store."
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

// backupHandler serves GET /backup on the admin listener. It makes one backup at a time.
type backupHandler struct {
	engine *jetstream.Engine // nil: the engine keeps events in memory
	busy   sync.Mutex        // held while a backup is made
}

// ServeHTTP implements http.Handler.
func (b *backupHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !transports.AllowMethods(w, r, http.MethodGet) {
		return
	}
	if b.engine == nil || !b.engine.Embedded() {
		transports.WriteProblem(w, r, problems.BadRequest(jetstream.ErrNotEmbedded.Error()))
		return
	}
	if !b.busy.TryLock() {
		transports.WriteProblem(w, r, problems.Unavailable("another backup is in progress"))
		return
	}
	defer b.busy.Unlock()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Disposition", `attachment; filename="trivium.backup"`)
	out := &countingWriter{to: w}
	switch err := b.engine.Backup(r.Context(), out); {
	case err == nil:
	case out.n == 0:
		transports.WriteProblem(w, r, problems.Of(err))
	default:
		panic(http.ErrAbortHandler) // closing the connection early shows the client that the backup is incomplete
	}
}

// countingWriter counts the bytes written to a writer.
type countingWriter struct {
	to io.Writer
	n  int64
}

// Write implements io.Writer.
func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.to.Write(b)
	c.n += int64(n)
	return n, err
}
