package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
	"github.com/trivium-hub/trivium/hub"
)

// EraseCmd erases an event from a running hub.
type EraseCmd struct {
	AdminAccess
	ID string `arg:"" help:"ID of the event, as publishers and subscribers see it, such as 1f0c9a77-42."`
}

// Help returns the description of the command in its help text.
func (EraseCmd) Help() string {
	return "Removes one event permanently: from the memory of all hubs that share the log, and from the log on disk, where its " +
		"bytes are overwritten. Subscribers that resume from a position before the event receive no gap. Earlier backups still contain it."
}

func (c *EraseCmd) check() []settings.Fault {
	if _, err := hub.ParseCursor(c.ID); err != nil {
		return settings.Faults("id", fmt.Sprintf("%v; got %q", err, c.ID))
	}
	return checkAdminURL(c.AdminURL)
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
