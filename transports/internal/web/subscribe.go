package web

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
)

// ParseSubscription parses the subscription in a request's query and authorizes it. If the query has no
// topic filter, the subscription covers everything that the grant permits. The second result contains
// the filters of the query. maxTopics has the same meaning as in wire.ParseSelection.
func ParseSubscription(r *http.Request, q url.Values, grant *auth.Grant, maxTopics int) (hub.Request, []hub.Filter, *problems.Problem) {
	s, err := wire.ParseSelection(q, r.Header.Get("Last-Event-ID"), maxTopics, time.Now())
	if err != nil {
		return hub.Request{}, nil, problems.Of(err)
	}
	request := s.Request
	if len(s.Filters) == 0 && grant != nil {
		request.Filters = grant.Subscribe // already compiled, and shared by all subscribers that use the token
	} else {
		request.Filters = hub.NewFilterSet(s.Filters...)
	}
	return request, s.Filters, grant.CheckSubscription(request.Filters)
}

// MayPublishAny returns a problem if the grant does not permit publishing to any topic, otherwise nil.
// It is called before the topic is known.
func MayPublishAny(grant *auth.Grant) *problems.Problem {
	switch {
	case grant == nil:
		return problems.TokenEnded()
	case grant.Publish.Len() == 0:
		return problems.Forbidden("this token may not publish to any topic")
	}
	return nil
}

// MayPublish returns a problem if the grant does not permit publishing to the topic, otherwise nil. It
// returns nil for an invalid topic: the hub later refuses the topic as invalid, not as forbidden.
func MayPublish(grant *auth.Grant, topic string) *problems.Problem {
	if grant == nil {
		return problems.TokenEnded()
	}
	if !grant.MayPublish(topic) && hub.ValidateTopic(topic) == nil {
		return problems.Forbidden("this token may not publish to " + strconv.Quote(topic))
	}
	return nil
}

// ParseQuery returns the query parameters of a request. Unlike URL.Query, it returns a problem if the
// query is malformed.
func ParseQuery(r *http.Request) (url.Values, *problems.Problem) {
	q, err := auth.Query(r)
	if err != nil {
		return nil, problems.BadRequest("the URL's query is not well formed: " + queryErrorDetail(err))
	}
	return q, nil
}

// queryErrorDetail describes the error. It does not quote the query, which may contain a token.
func queryErrorDetail(err error) string {
	if _, ok := err.(url.EscapeError); ok {
		return "a % is not followed by two hexadecimal digits"
	}
	return "parameters must be separated by &, not by ;"
}

// ParseFormat parses the parameter format and reports whether it selects CloudEvents.
func ParseFormat(q url.Values) (cloudEvents bool, problem *problems.Problem) {
	switch values := q["format"]; {
	case len(values) == 0:
		return false, nil
	case len(values) > 1 || values[0] != "cloudevents":
		return false, problems.BadParameter("format", `must be "cloudevents", given once`)
	}
	return true, nil
}

// BoolParameter parses a Boolean parameter. "1" and "true" are true; "0", "false" and a missing
// parameter are false.
func BoolParameter(q url.Values, name string) (bool, *problems.Problem) {
	switch values := q[name]; {
	case len(values) == 0:
		return false, nil
	case len(values) > 1:
		return false, problems.BadParameter(name, "must be given only once")
	case values[0] == "1" || values[0] == "true":
		return true, nil
	case values[0] == "0" || values[0] == "false":
		return false, nil
	default:
		return false, problems.BadParameter(name, "must be 1 or 0")
	}
}
