package server

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"os"
	"strings"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
	"github.com/trivium-hub/trivium/transports"
)

const adminIndex = `Trivium admin listener

GET /metrics        Prometheus
GET /stats          the same figures as JSON
GET /debug/pprof/   profiles
GET /backup         the log of the embedded engine (see trivium backup)
DELETE /events/{id} removes an event for good (see trivium erase)
`

// adminRoute is the name by which the log identifies the route of requests to the admin listener.
const adminRoute = "admin"

// adminRoutes returns the handler of the admin listener. By default, it requires no token, because the listener is on
// loopback only. It refuses requests with an unknown host name and requests from a page of another origin.
func adminRoutes(o *observer, access *accessControl, api *transports.API, log *slog.Logger) http.Handler {
	routes := mux.NewRouter().SkipClean(true)
	routes.Handle("/", text(adminIndex))
	metrics := promhttp.HandlerFor(newRegistry(o), promhttp.HandlerOpts{})
	routes.HandleFunc("/metrics", func(w http.ResponseWriter, r *http.Request) {
		if transports.AllowMethods(w, r, http.MethodGet, http.MethodHead) {
			metrics.ServeHTTP(w, r)
		}
	})
	routes.HandleFunc("/stats", func(w http.ResponseWriter, r *http.Request) {
		if transports.AllowMethods(w, r, http.MethodGet, http.MethodHead) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", "no-store")
			encoder := json.NewEncoder(w)
			encoder.SetIndent("", "  ")
			_ = encoder.Encode(o.snapshot()) // fails only if the client has disconnected
		}
	})
	routes.Handle("/backup", &backupHandler{engine: jetStreamOf(o.log)})
	routes.Handle("/events/{id}", &eraseHandler{hub: o.hub, log: log})
	routes.HandleFunc("/debug/pprof/cmdline", serveCmdline)
	routes.HandleFunc("/debug/pprof/profile", pprof.Profile)
	routes.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	routes.HandleFunc("/debug/pprof/trace", pprof.Trace)
	routes.PathPrefix("/debug/pprof/").HandlerFunc(pprof.Index)
	routes.Handle("/debug/pprof", http.RedirectHandler("/debug/pprof/", http.StatusMovedPermanently))
	routes.NotFoundHandler = http.HandlerFunc(transports.NotFound)
	return access.operator.Wrap(api.HandleError(adminRoute, transports.WriteProblem))(routes) // outermost, so that redirects are checked too
}

// serveCmdline is like pprof.Cmdline, but hides the secrets in the command line.
func serveCmdline(w http.ResponseWriter, r *http.Request) {
	if transports.AllowMethods(w, r, http.MethodGet, http.MethodHead) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprint(w, strings.Join(settings.WithoutSecrets(os.Args), "\x00"))
	}
}
