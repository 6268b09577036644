package board

import (
	"context"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/client"
)

// maxAnswer is the maximum number of bytes that Hub reads of an answer.
const maxAnswer = 64 << 10

// Hub sends requests that need no subscription. Unlike client.Client.Publish, Hub does not retry,
// because the page shows each refusal.
type Hub struct {
	Platform client.Platform
	URL      string        // the origin of the hub
	Token    func() string // returns "" if no token is needed
}

// Publish publishes events atomically and returns the ID of the last one. Within two minutes,
// another request with the same key publishes nothing. If the hub refused the events, the error is
// a *client.Problem. After any other error it is unknown whether they were published.
func (h *Hub) Publish(ctx context.Context, key string, events ...*hub.Event) (id string, err error) {
	body := []byte{'['}
	for i, e := range events {
		if i > 0 {
			body = append(body, ',')
		}
		body = client.AppendEnvelope(body, e)
	}
	return h.do(ctx, &client.Request{
		Method: "POST", URL: h.URL + "/publish", Body: append(body, ']'),
		Header: map[string]string{"Content-Type": "application/json", "Idempotency-Key": key},
	}, "id")
}

// Newest returns the cursor of the newest event. If the hub refuses the request, the error is a
// *client.Problem.
func (h *Hub) Newest(ctx context.Context) (hub.Cursor, error) {
	cursor, err := h.do(ctx, &client.Request{
		Method: "GET", URL: h.URL + "/poll?wait=0&max=1", Header: map[string]string{},
	}, "cursor")
	if err != nil {
		return hub.Cursor{}, err
	}
	return hub.ParseCursor(cursor)
}

// do sends a request and returns a member of the JSON answer.
func (h *Hub) do(ctx context.Context, request *client.Request, member string) (found string, err error) {
	if token := h.Token(); token != "" {
		request.Header["Authorization"] = "Bearer " + token
	}
	answer, err := h.Platform.Do(ctx, request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return "", err
	}
	if answer.Status == 200 {
		found, err := client.StringMember(body, member)
		if err == nil && found == "" {
			err = errors.New("the answer is not from a Trivium hub")
		}
		return found, err
	}
	problem := &client.Problem{}
	if problem.UnmarshalJSON(body) != nil || problem.Title == "" { // the answer is from a proxy
		problem = &client.Problem{Title: "the answer was " + strconv.Itoa(answer.Status)}
	}
	problem.Status = answer.Status
	if seconds, err := strconv.Atoi(answer.Header("Retry-After")); err == nil {
		problem.RetryAfter = time.Duration(min(max(seconds, 0), 600)) * time.Second
	}
	return "", problem
}

// refusal returns the problem if err is a final refusal by the hub, otherwise nil.
func refusal(err error) *client.Problem {
	problem, ok := errors.AsType[*client.Problem](err)
	if !ok || problem.RetryAfter > 0 || problem.Status >= 500 || problem.Status == 409 || problem.Status == 429 || problem.Status == 408 {
		return nil
	}
	return problem
}
