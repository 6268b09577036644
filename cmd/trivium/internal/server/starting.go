package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gorilla/mux"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports"
)

// The listeners are opened before the engine. Therefore, while a hub waits for NATS, connections are not refused:
// /healthz answers with status 200, and other requests are answered with status 503 and Retry-After.

// These are the minimum and maximum pause between two attempts to open the engine.
const (
	minEngineRetry = 500 * time.Millisecond
	maxEngineRetry = 10 * time.Second
)

// switchable is an http.Handler that calls another handler, which can be replaced with the method set. It
// is replaced when the hub has started.
type switchable struct{ current atomic.Pointer[http.Handler] }

// set replaces the handler that ServeHTTP calls.
func (h *switchable) set(next http.Handler) { h.current.Store(&next) }

// ServeHTTP implements http.Handler.
func (h *switchable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*h.current.Load()).ServeHTTP(w, r)
}

// openHub opens the engine and creates the hub. While NATS is unavailable, it tries again until ctx is canceled or the
// time of --engine-wait has passed. It makes the last attempt at the end of that time.
func (s *Server) openHub(ctx context.Context) (err error) {
	begin := time.Now()
	for pause := minEngineRetry; ; pause = min(2*pause, maxEngineRetry) {
		s.hub, s.engine, err = newHub(s.cfg, s.retention, s.log)
		left := s.cfg.EngineWait - time.Since(begin)
		switch {
		case err == nil, s.cfg.Engine != settings.EngineNATS, !errors.Is(err, hub.ErrUnavailable):
			return err
		case s.cfg.EngineWait == 0: // the hub waits without a limit
		case left <= 0:
			return fmt.Errorf("NATS was not available within %v (--engine-wait): %w", s.cfg.EngineWait, err)
		default:
			pause = min(pause, left)
		}
		s.log.Warn("NATS is unavailable; the hub is not ready, and tries again", "in", pause.String(), "error", err.Error())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// startingRoutes returns the handler of the main listener until the hub has started. It answers /healthz with status 200,
// and all other requests with the error that the hub is starting.
func (s *Server) startingRoutes() http.Handler {
	routes := mux.NewRouter().UseEncodedPath().SkipClean(true)
	s.apiRoutes(routes)
	tokenless := s.tokenless()
	routes.Handle("/healthz", tokenless(text("ok\n")))
	routes.NotFoundHandler = tokenless(http.HandlerFunc(notStarted))
	return routes
}

// notStarted answers a request with the error that the hub is starting.
func notStarted(w http.ResponseWriter, r *http.Request) {
	transports.WriteProblem(w, r, transports.StartingProblem())
}

// startingAdminRoutes returns the handler of the admin listener until the hub has started.
func (s *Server) startingAdminRoutes() http.Handler {
	return s.access.operator.Wrap(s.api.HandleError(adminRoute, transports.WriteProblem))(http.HandlerFunc(notStarted))
}

// shareTickets lets each hub of a NATS cluster accept the tickets that the other hubs have issued.
func (s *Server) shareTickets() {
	if s.cfg.Engine != settings.EngineNATS {
		return
	}
	engine := jetStreamOf(s.engine)
	if err := engine.ServePeers(s.access.tickets.ID(), s.access.tickets.Answer); err != nil {
		s.log.Warn("cannot share tickets: other hubs will refuse tickets that this hub issues", "error", err.Error())
	}
	s.access.tickets.SetPeers(engine)
}
