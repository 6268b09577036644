package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/reload"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports"
	"github.com/trivium-hub/trivium/wasmdemo"
)

// exitGrace is the time for which connections may stay open after the time of --drain has passed. After
// exitGrace, they are closed.
const exitGrace = 500 * time.Millisecond

// Server is a running hub with its listeners. It owns the goroutines that serve the listeners.
type Server struct {
	cfg *settings.ServeConfig
	// retention depends on the memory limit of the runtime, which must be set before New.
	retention settings.Retention
	log       *slog.Logger
	files     *reload.Watcher
	access    *accessControl

	hub       *hub.Hub
	engine    durableEngine // nil: the memory engine
	api       *transports.API
	open      *openConnections
	adminOpen *openConnections
	// accepts and adminAccepts accept the connections of the main and of the admin listener. The
	// method listen sets them; adminAccepts is nil if --admin is off.
	accepts, adminAccepts *acceptor
	panics                atomic.Uint64 // number of panics of request handlers
	sources               []*source
	demo                  *wasmdemo.Demo     // nil: --demo is off
	stop                  context.CancelFunc // stops the watcher, access control, sources and demo
	// endBuild cancels the build of the demo's WebAssembly binary at shutdown.
	endBuild context.CancelFunc
	tls      *tls.Config // TLS configuration of public; nil: no TLS
	// certificates reports when the certificates of tls expire; nil: no TLS.
	certificates *certificateExpiry
	public       net.Listener
	admin        net.Listener // nil: --admin is off
	servers      []*http.Server

	publicHandler, adminHandler switchable

	running sync.WaitGroup
	failed  chan error // receives the error of a listener or source that has failed
}

// New opens the listeners, the engine and the hub, and starts to serve. If it returns an error, it has
// closed everything that it had opened before the error.
func New(cfg *settings.ServeConfig, stderr io.Writer) (_ *Server, err error) {
	s := &Server{
		cfg: cfg, retention: cfg.Retention(debug.SetMemoryLimit(-1)), log: cfg.NewLogger(stderr), failed: make(chan error, 3),
	}
	cfg.WarnOfDescriptors(s.log)
	for _, warning := range cfg.Warnings() {
		s.log.Warn("a setting is probably a mistake", "flag", warning.Setting, "reason", warning.Detail)
	}
	s.files = reload.New(s.log)
	var faults []settings.Fault
	if s.access, faults = newAccessControl(cfg, s.files, s.log); len(faults) > 0 {
		return nil, settings.NewUsageError(faults)
	}
	defer func() {
		if err != nil {
			s.discard()
		}
	}()
	s.open = newOpenConnections(newOpenLimits(cfg.Connections(), cfg.SpareConnections()), s.access.proxies, s.log)
	if s.api, err = s.newAPI(); err != nil {
		return nil, err
	}
	if s.tls, err = newTLS(&cfg.TLSConfig, s.files, s.log); err != nil {
		return nil, err
	}
	s.certificates = observeCertificates(s.tls, len(cfg.ACME) > 0)
	if s.public, err = net.Listen("tcp", cfg.HTTP); err != nil {
		return nil, fmt.Errorf("--http: %w", err)
	}
	if cfg.Admin != "" {
		if s.admin, err = net.Listen("tcp", cfg.Admin); err != nil {
			return nil, fmt.Errorf("--admin: %w", err)
		}
	}
	ctx := s.listen()
	if err = s.openHub(ctx); err != nil {
		return nil, err
	}
	if err = s.openSources(); err != nil {
		return nil, err
	}
	s.start(ctx)
	return s, nil
}

// ServeUntil blocks until it receives a signal from the channel signals, and then returns nil. If a listener
// or the engine fails first, it returns the error. Whenever it receives a signal from the channel reread, it
// makes the watcher read all files again.
func (s *Server) ServeUntil(signals, reread <-chan os.Signal) error {
	s.log.Info("listening", s.addresses()...)
	for {
		select {
		case <-reread:
			s.files.Reload()
		case got := <-signals:
			s.log.Info("draining", "signal", got.String(), "window", s.cfg.Drain.String())
			return nil
		case err := <-s.failed:
			s.log.Error("a listener failed; draining", "error", err.Error())
			return err
		case err := <-s.engineFailed():
			s.log.Error("the engine failed; draining", "error", err.Error())
			return err
		}
	}
}

// addresses returns log attributes: the addresses of all listeners, and the authentication mode.
func (s *Server) addresses() []any {
	where := []any{"http", s.public.Addr().String()}
	for _, source := range s.sources {
		where = append(where, source.name, source.addr.String())
	}
	if s.admin != nil {
		where = append(where, "admin", s.admin.Addr().String())
	}
	return append(where, "auth", s.cfg.Auth)
}

// listen starts to serve on the HTTP listeners. Until start replaces their handlers, they answer that the
// hub is starting. The returned context is canceled when the server stops.
func (s *Server) listen() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	s.accepts = newAcceptor(s.public, s.open, s.cfg.PublicDescriptors(), s.log)
	s.public = s.api.Listener(s.accepts)
	s.publicHandler.set(s.startingRoutes())
	public := s.newHTTP(&s.publicHandler)
	s.open.attach(public)
	setProtocols(public, s.tls, s.cfg.H2C)
	s.serve(public, s.public)
	if s.admin != nil {
		// The admin listener has separate connection limits, so that public clients cannot use them up.
		s.adminOpen = newOpenConnections(openLimits{total: settings.AdminConnections}, nil, s.log)
		s.adminAccepts = newAcceptor(s.admin, s.adminOpen, 0, s.log)
		s.adminHandler.set(s.startingAdminRoutes())
		admin := s.newHTTP(&s.adminHandler)
		s.adminOpen.attach(admin)
		s.serve(admin, s.adminAccepts)
	}
	s.running.Go(func() { s.access.run(ctx) })
	s.running.Go(func() { s.files.Run(ctx) })
	return ctx
}

// start replaces the temporary handlers, which answer that the hub is starting, with the handlers of the
// started hub. It also starts the demo and the sources.
func (s *Server) start(ctx context.Context) {
	s.demo = newDemo(s.cfg, s.log)
	s.api.Start(s.hub)
	s.shareTickets()
	if s.admin != nil {
		s.adminHandler.set(s.adminOpen.trackServing(adminRoutes(s.newObserver(), s.access, s.api, s.log)))
	}
	s.publicHandler.set(s.publicRoutes())
	building, endBuild := context.WithCancel(ctx)
	s.endBuild = endBuild
	if s.demo != nil {
		s.running.Go(func() { s.demo.Run(building) })
	}
	for _, source := range s.sources {
		s.running.Go(func() {
			if err := source.run(ctx); err != nil {
				s.failed <- err
			}
		})
	}
}

// newObserver returns the observer that collects the statistics for /stats and /metrics.
func (s *Server) newObserver() *observer {
	return &observer{
		hub: s.hub, engine: s.cfg.Engine, engineError: s.engineError, log: s.engine, api: s.api, panics: &s.panics, middleware: s.access.requireToken, open: s.open, sources: s.sources,
		acceptErrors: func() uint64 { return s.accepts.errors.Load() + s.adminAccepts.errors.Load() },
		files:        s.files, certificates: s.certificates, limits: s.cfg.Limits(),
	}
}

// serve runs an HTTP server on a listener in a goroutine. It sends an error of the server to s.failed, unless Shutdown or
// Close of the server has caused the error.
func (s *Server) serve(server *http.Server, l net.Listener) {
	s.servers = append(s.servers, server)
	s.running.Go(func() {
		if err := serveOn(server, l); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	})
}

// Shutdown drains the subscribers and closes the server. The hub accepts events until all subscribers are disconnected.
func (s *Server) Shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Drain+exitGrace)
	defer cancel()
	s.endBuild()
	s.api.Drain(ctx, s.cfg.Drain)
	s.api.StopPublishing()
	for _, server := range s.servers {
		if err := server.Shutdown(ctx); err != nil {
			server.Close() // closes the connections that are still open
		}
	}
	s.stop()
	s.wait()
	s.api.Close()
	if err := s.hub.Close(); err != nil {
		s.log.Error("the hub could not be closed", "error", err.Error())
	}
	s.log.Info("the hub has stopped", "cut", closedAtDeadline(s.api.Stats()))
}

// wait blocks until the goroutines of the server have ended.
func (s *Server) wait() {
	s.running.Wait() // no connection is accepted from here on
	for _, open := range []*openConnections{s.open, s.adminOpen} {
		if open != nil { // nil: no admin listener, or New has failed
			open.handshakes.Wait()
		}
	}
}

// discard closes everything that New opened before it failed.
func (s *Server) discard() {
	if s.api != nil {
		s.api.StopPublishing()
	}
	for _, server := range s.servers {
		server.Close()
	}
	for _, l := range []net.Listener{s.public, s.admin} {
		if l != nil {
			l.Close()
		}
	}
	if s.stop != nil {
		s.stop()
	}
	s.wait()
	for _, source := range s.sources {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = source.run(ctx) // the context is canceled, so run only closes the socket
	}
	if s.api != nil {
		s.api.Close()
	}
	if s.hub != nil {
		s.hub.Close()
	}
}
