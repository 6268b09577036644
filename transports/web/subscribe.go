package web

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/wire"
)

// Subscription reads what the request asks to subscribe to, and judges it by the grant; without a
// topic it is everything that the grant lets it read. The filters that were asked for by name are
// given too. maxTopics is as for wire.ParseSelection.
func Subscription(r *http.Request, q url.Values, grant *hub.Grant, maxTopics int) (hub.Request, []hub.Filter, *wire.Problem) {
	s, err := wire.ParseSelection(q, r.Header.Get("Last-Event-ID"), maxTopics, time.Now())
	if err != nil {
		return hub.Request{}, nil, wire.ProblemOf(err)
	}
	request := hub.Request{Start: s.Start, Conflate: s.Conflate}
	if len(s.Filters) == 0 && grant != nil {
		request.Filters = grant.Subscribe // which is compiled, and shared by all of the token's subscribers
	} else {
		request.Filters = hub.NewFilterSet(s.Filters...)
	}
	return request, s.Filters, MaySubscribe(grant, request.Filters)
}

// MaySubscribe judges filters by the grant; nil is leave.
func MaySubscribe(grant *hub.Grant, set hub.FilterSet) *wire.Problem {
	if grant == nil {
		return wire.TokenEnded()
	}
	if grant.Subscribe.Len() == 0 {
		return wire.Forbidden("this token may not subscribe to anything")
	}
	if refused, ok := grant.MaySubscribe(set); !ok {
		return wire.Forbidden("this token may not subscribe to " + refused.String())
	}
	return nil
}

// MayPublishAny judges a grant before there is a topic; nil is leave.
func MayPublishAny(grant *hub.Grant) *wire.Problem {
	switch {
	case grant == nil:
		return wire.TokenEnded()
	case grant.Publish.Len() == 0:
		return wire.Forbidden("this token may not publish to anything")
	}
	return nil
}

// MayPublish judges a topic by the grant; nil is leave. What is no topic is left for the hub to
// refuse: no right would make it good.
func MayPublish(grant *hub.Grant, topic string) *wire.Problem {
	if grant == nil {
		return wire.TokenEnded()
	}
	if !grant.MayPublish(topic) && hub.ValidateTopic(topic) == nil {
		return wire.Forbidden("this token may not publish to " + strconv.Quote(topic))
	}
	return nil
}

// Query reads the URL's parameters; unlike URL.Query it refuses what is not well formed.
func Query(r *http.Request) (url.Values, *wire.Problem) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, wire.BadRequest("the URL's query is not well formed: " + queryFault(err))
	}
	return q, nil
}

// queryFault says what is wrong without repeating the query, which may hold a token.
func queryFault(err error) string {
	if _, ok := err.(url.EscapeError); ok {
		return "a % is not followed by two hexadecimal digits"
	}
	return "parameters are separated by &, and ; is not one"
}

// Format reads the parameter format: whether events are to be written as CloudEvents.
func Format(q url.Values) (cloudEvents bool, problem *wire.Problem) {
	switch values := q["format"]; {
	case len(values) == 0:
		return false, nil
	case len(values) > 1 || values[0] != "cloudevents":
		return false, wire.BadParameter("format", `must be "cloudevents", once`)
	}
	return true, nil
}

// Flag reads a parameter that is on as "1" or "true" and off as "0", "false" or absent.
func Flag(q url.Values, name string) (bool, *wire.Problem) {
	switch values := q[name]; {
	case len(values) == 0:
		return false, nil
	case len(values) > 1:
		return false, wire.BadParameter(name, "must be given only once")
	case values[0] == "1" || values[0] == "true":
		return true, nil
	case values[0] == "0" || values[0] == "false":
		return false, nil
	default:
		return false, wire.BadParameter(name, "must be 1 or 0")
	}
}
