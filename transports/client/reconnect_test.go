//go:build !js

package client_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/transports/client"
	"github.com/trivium-hub/trivium/transports/internal/web"
	"github.com/trivium-hub/trivium/transports/problems"
)

// paths are the routes of the transports; SSE and EventSource share one.
var paths = []string{"/ws", "/sse", "/poll"}

// answers is a proxy that always answers with the given status and header.
func answers(status int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, "<h1>%d</h1>", status)
	}
}

// answersProblem is a proxy that always answers with the given problem, as a hub would.
func answersProblem(p *problems.Problem) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { web.WriteProblem(w, r, p) }
}

// proxyAll sets the proxy of every transport; nil removes it.
func (r *rig) proxyAll(handler http.HandlerFunc) {
	for _, path := range paths {
		r.proxy(path, handler)
	}
}

// ended waits until the client has ended by itself, and returns its error.
func (r *rig) ended(c *client.Client) *client.FinalError {
	r.t.Helper()
	state := r.await(c, isPhase(client.Ended))
	_, err := r.reader(c).try()
	var final *client.FinalError
	require.ErrorAs(r.t, err, &final)
	require.Equal(r.t, err, state.Reason)
	return final
}

// TestFinalAnswers checks that the client ends immediately after a refusal that a retry would not
// change.
func TestFinalAnswers(t *testing.T) {
	for name, row := range map[string]struct {
		answer http.HandlerFunc
		status int
		code   string
	}{
		"bad request":  {answersProblem(problems.BadParameter("topic", "must be a topic filter")), 400, problems.CodeInvalidParameter},
		"no token":     {answersProblem(problems.MissingToken()), 401, problems.CodeMissingToken},
		"forbidden":    {answersProblem(problems.Forbidden("not yours")), 403, problems.CodeForbidden},
		"another host": {answersProblem(problems.MisdirectedHost("misdirected")), 421, problems.CodeMisdirectedHost},
		"another path": {answersProblem(problems.NotFound()), 404, problems.CodeNotFound},
	} {
		for _, tr := range append([]client.Transport{client.Auto}, transports...) {
			t.Run(name+" by "+tr.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, rigConfig{Memory: true})
					r.proxyAll(row.answer)
					begin := time.Now()
					final := r.ended(r.client(client.Config{Transport: tr}))
					require.Zero(t, time.Since(begin))
					require.Equal(t, row.status, final.Status)
					var problem *client.Problem
					require.ErrorAs(t, final, &problem)
					require.Equal(t, row.code, problem.Code)
					require.NotContains(t, final.Error(), "secret")
				})
			})
		}
	}
}

// TestResumesAfterAnswersOfIntermediary checks that a client resumes after an intermediary, such as a
// proxy, has answered in place of the hub for some time. The intermediary does so before the client has
// been Live, and again afterwards.
func TestResumesAfterAnswersOfIntermediary(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"400": answers(400), "401": answers(401), "403": answers(403), "404": answers(404), "405": answers(405),
		"301":            answers(301, "Location", "https://else.test/ws?access_token=secret"),
		"302":            answers(302, "Location", "/login"),
		"307":            answers(307, "Location", "https://portal.test/"),
		"another format": answers(404, "Content-Type", problems.ContentType),
	} {
		for _, tr := range append([]client.Transport{client.Auto}, transports...) {
			t.Run(name+" by "+tr.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, rigConfig{Memory: true})
					r.proxyAll(answer)
					c := r.client(client.Config{Transport: tr})
					read := r.reader(c)
					state := r.await(c, isPhase(client.Waiting))
					require.NotContains(t, state.Reason.Error(), "secret")
					if name == "301" && tr != client.EventSource { // EventSource hides the redirect
						require.ErrorContains(t, state.Reason, "redirect to https://else.test/ws")
					}
					time.Sleep(time.Minute)
					r.proxyAll(nil)
					r.await(c, isPhase(client.Live))
					r.publish(0, 1, "a")
					read.numbers(0, 1)
					r.proxyAll(answer)
					c.Reconnect()
					r.await(c, isPhase(client.Waiting))
					r.publish(1, 3, "a")
					time.Sleep(time.Minute)
					r.proxyAll(nil)
					read.numbers(1, 3)
				})
			})
		}
	}
}

// TestWaitsAsAnswerRequests checks that the client delays its retry by the time that the answer requests.
func TestWaitsAsAnswerRequests(t *testing.T) {
	in90s := func() string { return time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat) }
	for name, row := range map[string]struct {
		answer func() http.HandlerFunc
		wait   time.Duration // 0: a random wait
	}{
		"hub drains":               {func() http.HandlerFunc { return answersProblem(problems.Draining(7 * time.Second)) }, 7 * time.Second},
		"too many":                 {func() http.HandlerFunc { return answersProblem(problems.TooManyTries("", 3*time.Second)) }, 3 * time.Second},
		"until a date":             {func() http.HandlerFunc { return answers(503, "Retry-After", in90s()) }, 90 * time.Second},
		"invalid Retry-After":      {func() http.HandlerFunc { return answers(503, "Retry-After", "99999999999") }, 0},
		"for a year":               {func() http.HandlerFunc { return answers(429, "Retry-After", "31536000") }, 10 * time.Minute},
		"no Retry-After":           {func() http.HandlerFunc { return answers(502) }, 0},
		"page of a captive portal": {func() http.HandlerFunc { return answers(200, "Content-Type", "text/html") }, 0},
		"an empty answer":          {func() http.HandlerFunc { return answers(204) }, 0},
		"hub is overloaded":        {func() http.HandlerFunc { return answersProblem(problems.Unavailable("")) }, 2 * time.Second},
	} {
		for _, tr := range append([]client.Transport{client.Auto}, transports...) {
			t.Run(name+" by "+tr.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, rigConfig{Memory: true})
					r.proxyAll(row.answer())
					c := r.client(client.Config{Transport: tr})
					state := r.await(c, isPhase(client.Waiting))
					require.Error(t, state.Reason)
					if row.wait == 0 {
						require.Less(t, state.Wait, 500*time.Millisecond+1)
					} else {
						require.InDelta(t, row.wait.Seconds(), state.Wait.Seconds(), 1)
					}
					begin := time.Now()
					r.proxyAll(nil)
					r.await(c, isPhase(client.Live))
					require.Equal(t, state.Wait, time.Since(begin))
				})
			})
		}
	}
}

// TestLossIsReportedAtOnce checks that the phase Live ends as soon as the connection is closed,
// even if nothing listens at the hub's address. The client must not wait for the silence limit.
func TestLossIsReportedAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, tr client.Transport) {
		r := newRig(t, rigConfig{Memory: true, Heartbeat: 15 * time.Second})
		c := r.client(client.Config{Transport: tr})
		r.await(c, liveBy(tr))
		synctest.Wait() // if the client is between two polls, its next poll starts now
		begin := time.Now()
		r.setUnreachable(true)
		lost := r.await(c, func(s client.State) bool { return s.Phase != client.Live })
		require.Zero(t, time.Since(begin))
		require.Equal(t, client.Waiting, lost.Phase)
		require.Error(t, lost.Reason)
		time.Sleep(time.Minute)
		require.NotEqual(t, client.Live, c.State().Phase)
		r.setUnreachable(false)
		r.await(c, liveBy(tr))
	})
}

// TestBackoff checks that waits are random, that their limit doubles up to MaxWait, and that the
// limit is short again after a connection was Live.
func TestBackoff(t *testing.T) {
	bubble(t, func(t *testing.T, tr client.Transport) {
		r := newRig(t, rigConfig{Memory: true})
		r.setUnreachable(true)
		const most = 20 * time.Second
		c := r.client(client.Config{Transport: tr, MaxWait: most})
		var waits []time.Duration
		for s := range c.States(t.Context()) {
			if s.Phase == client.Waiting {
				waits = append(waits, s.Wait)
				if tr == client.EventSource { // EventSource hides the error
					require.ErrorContains(t, s.Reason, "the EventSource lost its connection")
				} else {
					require.ErrorContains(t, s.Reason, "connection refused")
				}
			}
			if len(waits) == 100 {
				break
			}
		}
		bound, total := 500*time.Millisecond, time.Duration(0)
		for _, wait := range waits {
			require.LessOrEqual(t, wait, bound)
			bound = min(2*bound, most)
			total += wait
		}
		require.InDelta(t, 50*most.Seconds(), total.Seconds(), 20*most.Seconds())

		for _, open := range []time.Duration{2 * time.Second, 6 * time.Second} {
			r.setUnreachable(false)
			r.await(c, liveBy(tr))
			time.Sleep(open)
			r.setUnreachable(true)
			require.LessOrEqual(t, r.await(c, isPhase(client.Waiting)).Wait, 4*time.Second, "after %v", open) // up to 4 s, because SSE sends a retry time
		}
	})
}

// TestWaitsAsDrainingHubRequests checks that the client delays its reconnect by the time that a draining
// hub requests.
func TestWaitsAsDrainingHubRequests(t *testing.T) {
	bubble(t, func(t *testing.T, tr client.Transport) {
		r := newRig(t, rigConfig{Memory: true})
		c := r.client(client.Config{Transport: tr})
		read := r.reader(c)
		r.await(c, liveBy(tr))
		r.publish(0, 5, "a")
		read.numbers(0, 5)
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			r.Registry.Drain(context.Background(), 10*time.Second)
		}()
		state := r.await(c, isPhase(client.Waiting))
		require.ErrorContains(t, state.Reason, "shutting down")
		require.GreaterOrEqual(t, state.Wait, time.Second)
		require.LessOrEqual(t, state.Wait, 11*time.Second)
		<-drained
	})
}

// TestEventsBeforeFinalErrorAreDelivered checks that events received before a final answer are
// delivered, and that every later call returns the error.
func TestEventsBeforeFinalErrorAreDelivered(t *testing.T) {
	bubble(t, func(t *testing.T, tr client.Transport) {
		r := newRig(t, rigConfig{Memory: true})
		r.grant("sesame-open", everything)
		c := r.client(client.Config{Transport: tr, Token: client.StaticToken("sesame-open")})
		r.await(c, liveBy(tr))
		r.publish(0, 1, "a")
		synctest.Wait()
		r.revise("sesame-open", nil)
		c.Reconnect() // the client has an unread event, so it reads nothing from the connection
		r.await(c, isPhase(client.Ended))
		read := r.reader(c)
		read.numbers(0, 1)
		require.Equal(t, 401, r.ended(c).Status)
		require.Equal(t, 401, r.ended(c).Status)
		require.ErrorAs(t, c.SetTopics(t.Context(), nil), new(*client.FinalError))
		_, err := c.Publish(t.Context(), client.Event{Topic: "a", Data: []byte("1")})
		require.ErrorAs(t, err, new(*client.FinalError))
		c.Use(client.SSE)
		c.Reconnect()
		c.Close()
	})
}

// TestErrorsContainNoToken checks that errors do not contain the token, even if a server includes
// it in its answer.
func TestErrorsContainNoToken(t *testing.T) {
	const token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzZWNyZXQifQ.c2lnbmF0dXJl"
	echo := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", problems.ContentType)
		w.WriteHeader(502)
		fmt.Fprintf(w, `{"title":%q,"detail":%q}`, r.Header.Get("Authorization"), r.Header.Get("Sec-WebSocket-Protocol"))
	}
	for name, spoil := range map[string]func(*rig){
		"echo":    func(r *rig) { r.proxyAll(echo) },
		"refused": func(r *rig) { r.setUnreachable(true) },
		"garbage": func(r *rig) {
			r.proxyAll(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				fmt.Fprintf(w, "event: trivium.open\nid: %s\ndata:\n\n", r.Header.Get("Authorization"))
			})
		},
	} {
		for _, tr := range transports {
			t.Run(name+" by "+tr.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, rigConfig{Memory: true})
					spoil(r)
					c := r.client(client.Config{Transport: tr, Token: client.StaticToken(token)})
					state := r.await(c, isPhase(client.Waiting))
					require.NotContains(t, fmt.Sprintf("%v %+v %#v", state, state, state.Reason), token)
				})
			})
		}
	}
}

// TestRetriesAfterHostileAnswers checks that the client waits and retries after any answer of a
// hostile server.
func TestRetriesAfterHostileAnswers(t *testing.T) {
	long := strings.Repeat("9", 9<<20)
	for name, row := range map[string]struct {
		kind, body string
	}{
		"an empty stream":                {"text/event-stream", ""},
		"no opening":                     {"text/event-stream", "data: {\"id\":\"00000001-1\",\"topic\":\"a\",\"data\":1}\n\n"},
		"no id":                          {"text/event-stream", "event: trivium.open\ndata:\n\n"},
		"an id with a newline":           {"text/event-stream", "event: trivium.open\nid: a\u2028b\ndata:\n\n"},
		"data that is not an envelope":   {"text/event-stream", "event: trivium.open\nid: a\ndata:\n\ndata: 1\n\n"},
		"an error that is not a problem": {"text/event-stream", "event: trivium.error\ndata: 1\n\n"},
		"an endless line":                {"text/event-stream", "event: trivium.open\nid: a\ndata:\n\ndata: " + long},
		"an answer that is too long":     {"application/json", `{"cursor":"` + long + `"}`},
		"no cursor":                      {"application/json", `{"events":[]}`},
		"a bad cursor":                   {"application/json", `{"cursor":"a\nb","events":[]}`},
		"a bad event":                    {"application/json", `{"cursor":"ab","events":[{"topic":"a"}]}`},
		"an event without id":            {"application/json", `{"cursor":"ab","events":[{"topic":"a","data":1}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, rigConfig{Memory: true})
				tr := client.SSE
				if row.kind == "application/json" {
					tr = client.LongPoll
				}
				r.proxyAll(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", row.kind)
					w.Header().Set("Content-Length", strconv.Itoa(len(row.body)))
					_, _ = w.Write([]byte(row.body))
				})
				c := r.client(client.Config{Transport: tr})
				begin := time.Now()
				state := r.await(c, isPhase(client.Waiting))
				require.Error(t, state.Reason)
				if name == "no opening" {
					require.ErrorContains(t, state.Reason, "did not begin with an opening message")
				}
				require.Zero(t, time.Since(begin))
				r.proxyAll(nil)
				r.publish(0, 1, "a")
				r.await(c, liveBy(tr))
			})
		})
	}
}
