package main

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/transports/web"
	"github.com/trivium-hub/trivium/transports/wire"
)

// denials logs what guards refuse.
type denials struct {
	log     *slog.Logger
	origins *originWarnings
}

func newDenials(log *slog.Logger) denials { return denials{log: log, origins: new(originWarnings)} }

// by gives a guard's way of answering a request to the route that it refuses: as the transport does.
// A page of a foreign origin or host learns nothing by way of a transport.
func (d denials) by(route string, refuse func(http.ResponseWriter, *http.Request, *wire.Problem)) auth.ErrorHandler {
	return func(w http.ResponseWriter, r *http.Request, err error) {
		p := refusal(err)
		if route == adminRoute && errors.Is(err, auth.ErrForeignOrigin) {
			p.Detail = err.Error() + adminOriginAdvice
		}
		attributes := describeRequest(r, route, p)
		d.log.LogAttrs(r.Context(), slog.LevelDebug, "refused", attributes...)
		if errors.Is(err, auth.ErrForeignOrigin) {
			if suppressed, due := d.origins.take(time.Now()); due {
				d.log.LogAttrs(r.Context(), slog.LevelWarn, "refused a page of another origin",
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

// adminOriginAdvice stands behind what was compared where a page is refused by the operator's listener.
const adminOriginAdvice = "; the listener of --admin answers pages of its own origin only"

// originAdvice stands behind what was compared where a page is refused that may be the operator's own.
func originAdvice(e *auth.OriginError) string {
	if len(e.Origins) == 0 {
		return "; a page of an origin allowed with --origin asks by fetch, EventSource or WebSocket, which have one"
	}
	return "; behind a proxy keep Host and use --trusted-proxy, or allow the origin with --origin"
}

// originWarningInterval is the least time between two warnings about foreign origins: the operator
// needs one to find out why a page does not work, and anybody can cause them.
const originWarningInterval = time.Minute

// originWarnings limits the warnings about foreign origins.
type originWarnings struct {
	mu         sync.Mutex
	next       time.Time
	suppressed uint64 // since the last one
}

// take reports whether a warning is due, and how many were suppressed before it.
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

// maxLogged bounds what is logged of a client's text, in bytes.
const maxLogged = 256

// describeRequest says of a refused request what helps to find out why. Its path and query are not
// in it: people put tokens into all sorts of places.
func describeRequest(r *http.Request, route string, p *wire.Problem) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("route", route),
		slog.String("reason", p.Code),
		slog.String("detail", p.Detail),
		slog.String("peer", r.RemoteAddr),
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		attrs = append(attrs, slog.String("origin", shown(origin)))
	}
	return attrs
}

// shown is a client's text with nothing in it that a terminal obeys or that looks like another line:
// JSON has the control characters beyond ASCII stand as they are.
func shown(text string) string {
	quoted := strconv.QuoteToASCII(text[:min(len(text), maxLogged)])
	return quoted[1 : len(quoted)-1]
}
