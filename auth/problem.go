package auth

import (
	"errors"
	"net/http"
	"time"

	"github.com/trivium-hub/trivium/transports/problems"
)

// ProblemOf returns the problem for an error of this package or of a Verifier. It returns nil for
// nil.
func ProblemOf(err error) *problems.Problem {
	if err == nil {
		return nil
	}
	var limit *LimitError
	var unavailable *UnavailableError
	switch {
	case errors.As(err, &unavailable):
		return unavailableSpread(unavailable, unavailable.RetryAfter)
	case errors.Is(err, ErrHost):
		return problems.MisdirectedHost("the Host header does not name this hub")
	case errors.Is(err, ErrForeignOrigin):
		return problems.ForeignOrigin(err.Error())
	case errors.Is(err, ErrTicketMethod):
		return problems.MethodNotAllowed(http.MethodPost)
	case errors.Is(err, ErrMethod):
		return problems.MethodNotAllowed("DELETE, POST")
	case errors.Is(err, ErrTwoTokens), errors.Is(err, ErrLoneBearer), errors.Is(err, ErrNotToken),
		errors.Is(err, ErrCookieTooLong), errors.Is(err, ErrNotBearer):
		return problems.BadRequest(err.Error())
	case errors.Is(err, ErrNoToken):
		return problems.MissingToken()
	case errors.As(err, &limit):
		return limitProblem(limit)
	case errors.Is(err, ErrTokenEnded):
		return problems.TokenEnded()
	case errors.Is(err, ErrTokenSyntax), errors.Is(err, ErrBadToken), errors.Is(err, ErrTicket), errors.Is(err, ErrTokenNotYet):
		return problems.InvalidToken(err.Error())
	case errors.Is(err, ErrNotAuthorized):
		return problems.Forbidden("this request is not authorized")
	default: // the verifier could not check the token
		return problems.Of(err)
	}
}

// retrySpread is the time over which the hub spreads the retries of clients that wait for the same
// event, such as a fetch of keys.
const retrySpread = 2 * time.Second

// unavailableSpread returns the problem for a temporary error. Its retry delay is at least wait,
// and random, so that clients retry at different times.
func unavailableSpread(err error, wait time.Duration) *problems.Problem {
	problem := problems.Unavailable(err.Error())
	problem.RetryAfter = problems.Jitter(wait, wait+retrySpread).Round(time.Millisecond)
	return problem
}

func limitProblem(e *LimitError) *problems.Problem {
	switch e.Limit {
	case LimitTickets:
		return problems.RateLimited(e.Error(), e.RetryAfter)
	case LimitTicketRequests:
		return unavailableSpread(e, e.RetryAfter)
	case LimitConnectRate:
		return problems.TooManyTries(e.Error(), e.RetryAfter)
	case LimitPublishRate:
		return problems.RateLimited(e.Error(), e.RetryAfter)
	default:
		return problems.TooManyConnections(e.Error(), problems.RetryDelay())
	}
}
