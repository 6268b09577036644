//go:build !js

package client_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/client"
	"github.com/trivium-hub/trivium/transports/problems"
)

// TestPublishByteForByte checks that data arrives exactly as it was published.
func TestPublishByteForByte(t *testing.T) {
	events := []client.Event{
		{Topic: "t", Data: []byte(`1.50`)},
		{Topic: "t.\u65e5", Type: "kind", Key: "k \"", Data: []byte("{ \"b\" :1,\n \"a\":\"\u2028\\/\"}")},
		{Topic: "t", Data: []byte("one\r\ntwo\rthree\n\x00\x1f\"\\"), Encoding: client.Text},
		{Topic: "t", Data: []byte{}, Encoding: client.Text},
		{Topic: "t", Data: []byte{0, 255, '\r', '\n', 128}, Encoding: client.Binary},
		{Topic: "t", Data: []byte{}, Encoding: client.Binary},
	}
	over(t, func(t *testing.T, tr client.Transport) {
		r := newRig(t, rigConfig{})
		c := r.client(client.Config{Transport: tr})
		r.await(c, liveBy(tr))
		id, err := c.Publish(t.Context(), events...)
		require.NoError(t, err)
		read := r.reader(c)
		var last string
		for _, want := range events {
			got := read.next()
			require.WithinDuration(t, time.Now(), got.Time, time.Minute)
			last, want.ID, want.Time = got.ID, got.ID, got.Time
			require.Equal(t, want, got)
			_ = append(got.Data, "appended by the program"...) // the program may append to its data without changing other events
		}
		require.Equal(t, last, id)
	})
}

// TestPublishOnce checks that no event is published twice if answers are lost.
func TestPublishOnce(t *testing.T) {
	for name, spoil := range map[string]func(*rig, http.ResponseWriter, *http.Request){
		"the connection is lost within the answer": func(_ *rig, w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := http.NewResponseController(w).Hijack()
			_ = conn.Close()
		},
		"504 of a proxy": func(_ *rig, w http.ResponseWriter, r *http.Request) { answers(504)(w, r) },
		"200 of a proxy": func(_ *rig, w http.ResponseWriter, r *http.Request) { answers(200)(w, r) },
		"no answer":      func(_ *rig, w http.ResponseWriter, r *http.Request) { hang(w, r) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, rigConfig{Memory: true})
				c := r.client(client.Config{})
				r.await(c, isPhase(client.Live))
				tries := 0
				r.proxy("/publish", func(w http.ResponseWriter, request *http.Request) {
					if tries++; tries > 3 {
						r.route(w, request)
						return
					}
					r.route(httptest.NewRecorder(), request)
					spoil(r, w, request)
				})
				id, err := c.Publish(t.Context(), client.Event{Topic: "a", Data: []byte("0")})
				require.NoError(t, err)
				require.Equal(t, id, r.Hub.Position().String())
				r.publish(1, 1, "a")
				r.reader(c).numbers(0, 2)
			})
		})
	}
}

// TestPublishRefused checks which refusals are final and which are retried.
func TestPublishRefused(t *testing.T) {
	one := client.Event{Topic: "a", Data: []byte("1")}
	for name, row := range map[string]struct {
		answer http.HandlerFunc // nil: the hub answers
		events []client.Event
		status int // 0: Publish retries until ctx ends
		calls  int
	}{
		"no events":                {nil, nil, 400, 0},
		"too many events":          {nil, make([]client.Event, 1001), 400, 0},
		"a gap":                    {nil, []client.Event{{Gap: &client.Gap{}}}, 400, 0},
		"bad topic":                {nil, []client.Event{one, {Topic: "a..b", Data: []byte("1")}}, 400, 1},
		"bad JSON":                 {nil, []client.Event{one, {Topic: "a", Data: []byte("{")}}, 400, 0},
		"data with another event":  {nil, []client.Event{{Topic: "a", Data: []byte(`1},{"topic":"b","data":2`)}}, 400, 0},
		"data with another member": {nil, []client.Event{{Topic: "a", Data: []byte(`1,"key":"k"`)}}, 400, 0},
		"text that is not UTF-8":   {nil, []client.Event{{Topic: "a", Data: []byte("caf\xe9"), Encoding: client.Text}}, 400, 0},
		"too large":                {nil, []client.Event{{Topic: "a", Data: bytes.Repeat([]byte("x"), 2<<20), Encoding: client.Text}}, 413, 1},
		"key reused":               {answersProblem(problems.Of(hub.ErrKeyReused)), []client.Event{one}, 422, 1},
		"forbidden":                {answersProblem(problems.Forbidden("")), []client.Event{one}, 403, 1},
		"denied":                   {answersProblem(problems.TokenEnded()), []client.Event{one}, 401, 1},
		"413 of a proxy":           {answers(413), []client.Event{one}, 413, 1},
		"above the publish rate":   {answersProblem(problems.RateLimited("", time.Minute)), []client.Event{one}, 0, 60},
		"key in use":               {answersProblem(problems.Of(hub.ErrKeyInUse)), []client.Event{one}, 0, 0},
		"hub unavailable":          {answersProblem(problems.Unavailable("")), []client.Event{one}, 0, 0},
		"502 of a proxy":           {answers(502), []client.Event{one}, 0, 0},
		"403 of a proxy":           {answers(403), []client.Event{one}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, rigConfig{Memory: true})
				r.proxy("/publish", row.answer)
				c := r.client(client.Config{})
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour-time.Second)
				defer cancel()
				begin := time.Now()
				_, err := c.Publish(ctx, row.events...)
				var problem *client.Problem
				require.ErrorAs(t, err, &problem)
				switch {
				case row.status != 0:
					require.Equal(t, row.status, problem.Status)
					require.Zero(t, time.Since(begin))
				case name == "502 of a proxy", name == "403 of a proxy": // the hub may have accepted the event, and may have forgotten the key
					require.ErrorContains(t, err, "idempotency key has expired")
					require.Less(t, time.Since(begin), 3*time.Minute)
				default:
					require.ErrorIs(t, err, context.DeadlineExceeded)
				}
				if row.status != 0 || row.calls > 0 {
					require.Equal(t, row.calls, r.asked("/publish"))
				}
				require.Zero(t, r.Hub.Position().Seq)
			})
		})
	}
}

// TestPublishStopsBeforeKeyExpires checks that an event that the hub may have accepted is not sent again
// after 120 s, when the hub may have forgotten the idempotency key.
func TestPublishStopsBeforeKeyExpires(t *testing.T) {
	for name, second := range map[string]http.HandlerFunc{
		"the hub refuses later attempts": answersProblem(problems.Unavailable("")),
		"the hub requests a long wait":   answersProblem(problems.RateLimited("", 5*time.Minute)),
		"no attempt is answered":         hang,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, rigConfig{Memory: true})
				c := r.client(client.Config{})
				r.await(c, isPhase(client.Live))
				begin := time.Now()
				var last atomic.Int64 // time from begin to the last attempt
				r.proxy("/publish", func(w http.ResponseWriter, request *http.Request) {
					if last.Swap(int64(max(1, time.Since(begin)))) > 0 {
						second(w, request)
						return
					}
					r.route(httptest.NewRecorder(), request)
					hang(w, request)
				})
				_, err := c.Publish(t.Context(), client.Event{Topic: "a", Data: []byte("0")})
				require.ErrorContains(t, err, "idempotency key has expired")
				require.Less(t, time.Since(begin), 2*time.Minute)
				require.Less(t, time.Duration(last.Load()), 110*time.Second)
			})
		})
	}
}

// TestPublishRenewsToken checks that Publish calls the TokenSource exactly once after the hub has rejected
// a token, even if the client has no topics and therefore no connection.
func TestPublishRenewsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigConfig{Memory: true})
		m := &mint{r: r, life: 24 * time.Hour}
		c := r.client(client.Config{Token: m.source, Topics: []string{}})
		for i := range 3 {
			_, err := c.Publish(t.Context(), client.Event{Topic: "a", Data: []byte(strconv.Itoa(i))})
			require.NoError(t, err)
			require.Equal(t, i+1, m.asked())
			r.revise("token-number-"+strconv.Itoa(i+1), nil)
		}
		require.EqualValues(t, 3, r.Hub.Position().Seq)
	})
}

// TestCloseEndsPublish checks that Close ends a running Publish.
func TestCloseEndsPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigConfig{Memory: true})
		r.proxy("/publish", hang)
		c := r.client(client.Config{})
		published := make(chan error, 1)
		go func() {
			_, err := c.Publish(t.Context(), client.Event{Topic: "a", Data: []byte("1")})
			published <- err
		}()
		time.Sleep(time.Second)
		c.Close()
		require.ErrorIs(t, <-published, client.ErrClosed)
	})
}
