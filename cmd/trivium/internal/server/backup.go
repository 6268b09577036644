package server

import (
	"io"
	"net/http"
	"sync"

	"github.com/trivium-hub/trivium/hub/jetstream"
	"github.com/trivium-hub/trivium/transports"
	"github.com/trivium-hub/trivium/transports/problems"
)

// backupHandler serves GET /backup on the admin listener. It makes one backup at a time.
type backupHandler struct {
	engine *jetstream.Engine // nil: the hub has another engine
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
		panic(http.ErrAbortHandler) // closes the connection early, so that the client notices that the backup is incomplete
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
