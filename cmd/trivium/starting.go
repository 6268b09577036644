package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gorilla/mux"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/sse"
	"github.com/trivium-hub/trivium/transports/web"
	"github.com/trivium-hub/trivium/transports/websocket"
	"github.com/trivium-hub/trivium/transports/wire"
)

// The listeners are open before the engine is: a hub that waits for NATS is alive, answers that it is not
// ready, and lets clients come back instead of refusing their connections.

// Times between two tries to open the engine.
const (
	minEngineRetry = 500 * time.Millisecond
	maxEngineRetry = 10 * time.Second
)

// switchable is a handler that is replaced once, when the hub has started.
type switchable struct{ current atomic.Pointer[http.Handler] }

func (h *switchable) set(next http.Handler) { h.current.Store(&next) }

// ServeHTTP implements http.Handler.
func (h *switchable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*h.current.Load()).ServeHTTP(w, r)
}

// openHub opens the engine and starts the hub. While NATS is unavailable it tries again, for
// --engine-wait at most.
func (s *server) openHub(ctx context.Context) (err error) {
	begin := time.Now()
	for pause := minEngineRetry; ; pause = min(2*pause, maxEngineRetry) {
		s.hub, s.engine, err = newHub(s.cfg, s.log)
		switch {
		case err == nil, s.cfg.Engine != engineNATS, !errors.Is(err, hub.ErrUnavailable):
			return err
		case s.cfg.EngineWait > 0 && time.Since(begin)+pause > s.cfg.EngineWait:
			return fmt.Errorf("NATS was not available within %v (--engine-wait): %w", s.cfg.EngineWait, err)
		}
		s.log.Warn("NATS is unavailable; not ready, trying again", "in", pause.String(), "error", err.Error())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// startingRoutes answers until the hub has started: alive, and not ready.
func (s *server) startingRoutes() http.Handler {
	deny, guard := s.door.denials.by, s.door.guard
	events := sse.New(sse.Config{
		Registry: s.group, Access: accessFrom, Counters: &s.count.sse, WriteTimeout: s.cfg.WriteTimeout, CleanEnd: s.cfg.SSEEnd == "clean",
	})
	sockets := websocket.New(websocket.Config{
		Registry: s.group, Access: accessFrom, Counters: &s.count.websocket, WriteTimeout: s.cfg.WriteTimeout, Refusals: &s.count.refused,
	})
	type refuser = func(http.ResponseWriter, *http.Request, *wire.Problem)
	starting := func(refuse refuser) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			refuse(w, r, startingProblem())
		})
	}
	routes := mux.NewRouter().UseEncodedPath().SkipClean(true)
	for _, route := range []struct {
		path   string
		refuse refuser
	}{{"/sse", events.HandleError}, {"/ws", sockets.HandleError}, {"/poll", web.WriteProblem}, {"/publish", web.WriteProblem}} {
		handler := guard.Wrap(deny(route.path, route.refuse))(starting(route.refuse))
		routes.Handle(route.path, handler)
		if route.path == "/publish" {
			routes.PathPrefix("/publish/").Handler(handler)
		}
	}
	everybody := s.door.free.Wrap(deny("others", web.WriteProblem))
	routes.Handle("/healthz", everybody(text("ok\n")))
	routes.NotFoundHandler = everybody(starting(web.WriteProblem))
	return routes
}

func startingProblem() *wire.Problem {
	p := wire.Unavailable("the hub is starting: its engine is not available yet")
	p.RetryAfter = web.RetryDelay()
	return p
}

// startingAdminRoutes answers the operator until the hub has started.
func (s *server) startingAdminRoutes() http.Handler {
	return s.door.admin.Wrap(s.door.denials.by("admin", web.WriteProblem))(
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { web.WriteProblem(w, r, startingProblem()) }))
}
