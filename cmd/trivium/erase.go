package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/gorilla/mux"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports"
	"github.com/trivium-hub/trivium/transports/problems"
)

// EraseCmd erases an event from a running hub.
type EraseCmd struct {
	AdminAccess
	ID string `arg:"" help:"ID of the event, as publishers and subscribers see it, such as 1f0c9a77-42."`
}

// Help returns the description of the command in its help text.
func (EraseCmd) Help() string {
	return "Removes one event for good: from the memory of all hubs that share the log, and from the log on disk, where its " +
		"bytes are overwritten. Subscribers that resume before it get no gap. Backups made before still have it."
}

func (c *EraseCmd) check() []fault {
	if _, err := hub.ParseCursor(c.ID); err != nil {
		return faulty("id", fmt.Sprintf("%v; got %q", err, c.ID))
	}
	return checkAdminURL(c.AdminURL)
}

// checkAdminURL returns a fault if text is not an http or https URL.
func checkAdminURL(text string) []fault {
	base, err := url.Parse(text)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return faulty("admin-url", fmt.Sprintf("want a URL such as http://127.0.0.1:3002, got %q", text))
	}
	return nil
}

// Run sends the request to the hub and prints that the event is erased.
func (c *EraseCmd) Run(con *console) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	response, err := askAdmin(ctx, http.MethodDelete, &c.AdminAccess, "/events/"+c.ID)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = fmt.Fprintf(con.Out, "%s: erased\n", c.ID)
	return err
}

// askAdmin sends a request to an admin listener. It returns an error for any status other than 200.
func askAdmin(ctx context.Context, method string, admin *AdminAccess, path string) (*http.Response, error) {
	target, err := url.JoinPath(admin.AdminURL, path)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, method, target, nil)
	if err != nil {
		return nil, err
	}
	if err := admin.authorize(request); err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil || response.StatusCode == http.StatusOK {
		return response, err
	}
	defer response.Body.Close()
	var problem struct{ Title, Detail string }
	if json.NewDecoder(io.LimitReader(response.Body, 64<<10)).Decode(&problem) != nil {
		return nil, fmt.Errorf("%s answered %s", target, transports.Printable(response.Status))
	}
	return nil, errors.New(transports.Printable(problem.Title + ": " + problem.Detail))
}

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
	// An erasure continues if the client disconnects, so that it is never half done.
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
