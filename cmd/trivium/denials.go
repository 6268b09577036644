package main

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/transports/web"
	"github.com/trivium-hub/trivium/transports/wire"
)

// denials logs what guards refuse.
type denials struct{ log *slog.Logger }

// by gives a guard's way of answering a request to the route that it refuses: as the transport does.
// A page of a foreign origin or host learns nothing by way of a transport.
func (d denials) by(route string, refuse func(http.ResponseWriter, *http.Request, *wire.Problem)) auth.Refuse {
	return func(w http.ResponseWriter, r *http.Request, err error) {
		p := refusal(err)
		d.log.LogAttrs(r.Context(), slog.LevelDebug, "refused", describeRequest(r, route, p)...)
		if errors.Is(err, auth.ErrForeignOrigin) || errors.Is(err, auth.ErrHost) {
			web.WriteProblem(w, r, p)
			return
		}
		refuse(w, r, p)
	}
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
