package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"

	"github.com/gorilla/mux"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports"
	"github.com/trivium-hub/trivium/transports/problems"
)

// eraseHandler serves DELETE /events/{id} on the admin listener.
type eraseHandler struct {
	hub *hub.Hub
	log *slog.Logger
}

// ServeHTTP implements http.Handler.
func (e *eraseHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !transports.AllowMethods(w, r, http.MethodDelete) {
		return
	}
	id, err := hub.ParseCursor(mux.Vars(r)["id"])
	if err != nil {
		transports.WriteProblem(w, r, problems.BadParameter("id", err.Error()))
		return
	}
	// The erasure continues even if the client disconnects, so that it is never left incomplete.
	if err := e.hub.Erase(context.WithoutCancel(r.Context()), id); err != nil {
		if !errors.Is(err, hub.ErrNoEvent) {
			e.log.Warn("event could not be erased", "id", id.String(), "error", err.Error())
		}
		transports.WriteProblem(w, r, problems.Of(err))
		return
	}
	e.log.Info("event erased", "id", id.String())
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, "{\"erased\":true}\n") // fails only if the client has disconnected
}
