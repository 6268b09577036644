package transports

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/transports/internal/web"
	"github.com/trivium-hub/trivium/transports/problems"
)

// Refusal is a function that answers a refused request with a problem, in the format of the request's
// route.
type Refusal = func(http.ResponseWriter, *http.Request, *problems.Problem)

// HandleError returns the error handler of a route. The handler logs the refusal and answers by calling
// refuse. However, a request with a foreign origin or host gets a plain HTTP answer on every route,
// because the foreign page could read an answer over a WebSocket.
func (a *API) HandleError(route string, refuse Refusal) auth.ErrorHandler {
	return func(w http.ResponseWriter, r *http.Request, err error) {
		p := auth.ProblemOf(err)
		if a.cfg.Advice != nil {
			p.Detail += a.cfg.Advice(route, err)
		}
		attributes := describeRequest(r, route, p)
		if errors.Is(err, auth.ErrNotAuthorized) {
			attributes = append(attributes, slog.String("error", err.Error()))
		}
		a.cfg.Log.LogAttrs(r.Context(), slog.LevelDebug, "refused", attributes...)
		if errors.Is(err, auth.ErrForeignOrigin) {
			if suppressed, due := a.origins.take(time.Now()); due {
				a.cfg.Log.LogAttrs(r.Context(), slog.LevelWarn, "refused a request from a page of another origin",
					append(attributes, slog.Uint64("not_logged_before", suppressed))...)
			}
		}
		if errors.Is(err, auth.ErrForeignOrigin) || errors.Is(err, auth.ErrHost) {
			web.WriteProblem(w, r, p)
			return
		}
		refuse(w, r, p)
	}
}

// originWarningInterval is the minimum time between two warnings about foreign origins. One warning is
// enough for an operator to learn why a page does not work, and any client could cause many warnings.
const originWarningInterval = time.Minute

// originWarnings limits the warnings about foreign origins.
type originWarnings struct {
	mu         sync.Mutex
	next       time.Time
	suppressed uint64 // number of warnings that were suppressed after the last logged one
}

// take must be called for each possible warning. If it returns true for due, the caller must log the
// warning; suppressed is then the number of warnings that were not logged since the previous logged one.
func (o *originWarnings) take(now time.Time) (suppressed uint64, due bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now.Before(o.next) {
		o.suppressed++
		return 0, false
	}
	suppressed, o.suppressed = o.suppressed, 0
	o.next = now.Add(originWarningInterval)
	return suppressed, true
}

// maxLogged is the maximum length of the logged part of a string from a client, in bytes.
const maxLogged = 256

// describeRequest returns log attributes that explain why a request was refused. It omits the path and
// the query, because clients may have put tokens there by mistake.
func describeRequest(r *http.Request, route string, p *problems.Problem) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("route", route),
		slog.String("reason", p.Code),
		slog.String("detail", p.Detail),
		slog.String("peer", r.RemoteAddr),
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		attrs = append(attrs, slog.String("origin", Printable(origin)))
	}
	return attrs
}

// Printable returns the beginning of a string from a client, escaped to printable ASCII. Therefore the
// result cannot control a terminal or imitate another log line.
func Printable(text string) string {
	quoted := strconv.QuoteToASCII(text[:min(len(text), maxLogged)])
	return quoted[1 : len(quoted)-1]
}
