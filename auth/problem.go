package auth

import (
	"errors"
	"net/http"
	"time"

	"github.com/trivium-hub/trivium/transports/problems"
)

// ProblemOf returns the problem with which an error of this package, or of a Verifier, is answered; nil for nil.
func ProblemOf(err error) *problems.Problem {
	var limit *LimitError
	var unavailable *UnavailableError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unavailable):
		return keysUnavailable(unavailable)
	case errors.Is(err, ErrHost):
		return problems.MisdirectedHost("this Host is not served here")
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
	default: // the verifier could not tell
		return problems.Of(err)
	}
}

// keysSpread is the time over which clients come back that wait for the keys to be fetched again.
const keysSpread = 2 * time.Second

// keysUnavailable has clients come back at different times, since all of them wait for the same fetch.
func keysUnavailable(e *UnavailableError) *problems.Problem {
	problem := problems.Unavailable(e.Error())
	problem.RetryAfter = problems.Jitter(e.RetryAfter, e.RetryAfter+keysSpread).Round(time.Millisecond)
	return problem
}

func limitProblem(e *LimitError) *problems.Problem {
	switch e.Limit {
	case LimitTickets:
		return problems.RateLimited(e.Error(), e.RetryAfter)
	case LimitConnectRate:
		return problems.TooManyTries(e.Error(), e.RetryAfter)
	case LimitPublishRate:
		return problems.RateLimited(e.Error(), e.RetryAfter)
	default:
		return problems.TooManyConnections(e.Error(), problems.RetryDelay())
	}
}
