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

// A Refusal writes the answer to a request that is refused, as its route does.
type Refusal = func(http.ResponseWriter, *http.Request, *problems.Problem)

// problemOf returns the problem that an error of auth is answered with; nil for nil.
func problemOf(err error) *problems.Problem {
	var limit *auth.LimitError
	var unavailable *auth.UnavailableError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unavailable):
		return keysUnavailable(unavailable)
	case errors.Is(err, auth.ErrHost):
		return problems.MisdirectedHost("this Host is not served here")
	case errors.Is(err, auth.ErrForeignOrigin):
		return problems.ForeignOrigin(err.Error())
	case errors.Is(err, auth.ErrTicketMethod):
		return problems.MethodNotAllowed(http.MethodPost)
	case errors.Is(err, auth.ErrMethod):
		return problems.MethodNotAllowed("DELETE, POST")
	case errors.Is(err, auth.ErrTwoTokens), errors.Is(err, auth.ErrLoneBearer), errors.Is(err, auth.ErrNotToken),
		errors.Is(err, auth.ErrCookieTooLong), errors.Is(err, auth.ErrNotBearer):
		return problems.BadRequest(err.Error())
	case errors.Is(err, auth.ErrNoToken):
		return problems.MissingToken()
	case errors.As(err, &limit):
		return limitProblem(limit)
	case errors.Is(err, auth.ErrTokenEnded):
		return problems.TokenEnded()
	case errors.Is(err, auth.ErrTokenSyntax), errors.Is(err, auth.ErrBadToken), errors.Is(err, auth.ErrTicket), errors.Is(err, auth.ErrTokenNotYet):
		return problems.InvalidToken(err.Error())
	case errors.Is(err, auth.ErrNotAuthorized):
		return problems.Forbidden("this request is not authorized")
	default: // the verifier could not tell
		return problems.Of(err)
	}
}

// keysSpread is the time over which clients come back that wait for the keys to be fetched again.
const keysSpread = 2 * time.Second

// keysUnavailable has clients come back at different times, since all of them wait for the same fetch.
func keysUnavailable(e *auth.UnavailableError) *problems.Problem {
	problem := problems.Unavailable(e.Error())
	problem.RetryAfter = web.Jitter(e.RetryAfter, e.RetryAfter+keysSpread).Round(time.Millisecond)
	return problem
}

func limitProblem(e *auth.LimitError) *problems.Problem {
	switch e.Limit {
	case auth.LimitTickets:
		return problems.RateLimited(e.Error(), e.RetryAfter)
	case auth.LimitConnectRate:
		return problems.TooManyTries(e.Error(), e.RetryAfter)
	case auth.LimitPublishRate:
		return problems.RateLimited(e.Error(), e.RetryAfter)
	default:
		return problems.TooManyConnections(e.Error(), web.RetryDelay())
	}
}

// HandleError returns the error handler of a route, which answers as refuse does, and logs. A page of a foreign
// origin or host gets a plain answer on every route: by way of a WebSocket it could read it.
func (a *API) HandleError(route string, refuse Refusal) auth.ErrorHandler {
	return func(w http.ResponseWriter, r *http.Request, err error) {
		p := problemOf(err)
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
				a.cfg.Log.LogAttrs(r.Context(), slog.LevelWarn, "refused a page of another origin",
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

// originWarningInterval is the least time between two warnings about foreign origins: an operator needs one to
// find out why a page does not work, and anybody can cause them.
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

// describeRequest returns what helps to find out why a request was refused. The path and the query are left out:
// clients put tokens there.
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

// Printable returns the beginning of a client's text as printable ASCII, so that it cannot control a terminal or
// look like another log line.
func Printable(text string) string {
	quoted := strconv.QuoteToASCII(text[:min(len(text), maxLogged)])
	return quoted[1 : len(quoted)-1]
}
