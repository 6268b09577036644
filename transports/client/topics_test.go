//go:build !js

package client_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/client"
)

// TestSetTopics checks that no event of an unchanged topic is lost or repeated, and that the events
// of a new topic arrive from the client's position on.
func TestSetTopics(t *testing.T) {
	bubble(t, func(t *testing.T, tr client.Transport) {
		r := newRig(t, rigConfig{Memory: true})
		c := r.client(client.Config{Transport: tr, Topics: []string{"a", "b"}})
		read := r.reader(c)
		r.await(c, liveBy(tr))
		n := 0
		for _, step := range []struct {
			topics    []string
			yes, no   string
			reconnect bool // the change needs a new connection, even over WebSocket
		}{
			{[]string{"a", "c"}, "c", "b", false},
			{[]string{"a"}, "a", "c", false},
			{[]string{"a", "a", "b.*", ">"}, "other", "", false},
			{[]string{"x", "a"}, "x", "other", false},
			{nil, "anything", "", true},
			{[]string{"a"}, "a", "anything", true},
			{[]string{"a", "a"}, "a", "b", false}, // no change
		} {
			connects := c.Stats().Connects
			require.NoError(t, c.SetTopics(t.Context(), step.topics))
			if tr == client.WebSocket && !step.reconnect {
				require.Equal(t, connects, c.Stats().Connects)
			}
			for _, topic := range []string{"a", step.yes} {
				if step.no != "" {
					r.publish(0, 1, step.no)
				}
				r.publish(n, 1, topic)
				read.numbers(n, 1)
				n++
			}
		}
		require.Zero(t, c.Stats().Gaps)
	})
}

// TestNoTopicsNoConnection checks that a client without topics has no connection, and later resumes
// at its position.
func TestNoTopicsNoConnection(t *testing.T) {
	bubble(t, func(t *testing.T, tr client.Transport) {
		r := newRig(t, rigConfig{Memory: true})
		c := r.client(client.Config{Transport: tr, Topics: []string{}})
		read := r.reader(c)
		r.await(c, isPhase(client.Idle))
		c.Reconnect()
		c.Use(tr)
		r.publish(0, 1, "a")
		require.NoError(t, c.SetTopics(t.Context(), []string{"a"}))
		r.publish(1, 1, "a")
		read.numbers(1, 1)
		require.NoError(t, c.SetTopics(t.Context(), []string{}))
		require.Equal(t, client.Idle, c.State().Phase)
		r.publish(2, 1, "a")
		time.Sleep(time.Minute)
		require.NoError(t, c.SetTopics(t.Context(), []string{"a"}))
		read.numbers(2, 1)
	})
}

// TestSetTopicsWithPendingEvents checks that SetTopics returns even if many events that the program has
// not read arrive before the hub's answer.
func TestSetTopicsWithPendingEvents(t *testing.T) {
	bubble(t, func(t *testing.T, tr client.Transport) {
		for _, waiting := range []int{3, 3000} {
			r := newRig(t, rigConfig{Memory: true})
			c := r.client(client.Config{Transport: tr, Topics: []string{"a"}})
			r.await(c, liveBy(tr))
			r.publish(0, waiting, "a")
			n := 0
			for e, err := range c.Events(t.Context()) {
				require.NoError(t, err)
				require.Equal(t, strconv.Itoa(n), string(e.Data))
				if n++; n == 2 {
					require.NoError(t, c.SetTopics(t.Context(), []string{"a", "b"}))
					require.Equal(t, e.ID, c.Cursor())
					r.publish(waiting, 1, "b")
				}
				if n > waiting {
					break
				}
			}
		}
	})
}

// TestSetTopicsRefused checks that the topics do not change if the hub refuses the change.
func TestSetTopicsRefused(t *testing.T) {
	filters := func(topics ...string) hub.FilterSet {
		var set []hub.Filter
		for _, topic := range topics {
			f, err := hub.ParseFilter(topic)
			require.NoError(t, err)
			set = append(set, f)
		}
		return hub.NewFilterSet(set...)
	}
	many := make([]string, 65)
	for i := range many {
		many[i] = fmt.Sprint("t", i)
	}
	bubble(t, func(t *testing.T, tr client.Transport) {
		r := newRig(t, rigConfig{Memory: true, MaxTopics: 3})
		r.grant("sesame-open", &auth.Grant{Subject: "test", Subscribe: filters("a.>", "b")})
		c := r.client(client.Config{Transport: tr, Token: client.StaticToken("sesame-open"), Topics: []string{"a.a", "a.b"}})
		read := r.reader(c)
		r.await(c, liveBy(tr))
		n := 0
		for _, row := range []struct {
			topics []string
			status int // 0: the hub accepts the change
		}{
			{[]string{"a.a", "c"}, 403},
			{[]string{"c"}, 403},
			{[]string{"a..b"}, 400},
			{many, 400},
			{[]string{"a.a", "a.b", "a.c", "a.d"}, 400},
			{[]string{"a.a", "a.c", "a.d"}, 0}, // old and new topics together exceed the limit
			{[]string{"a.a", "b"}, 0},
		} {
			var problem *client.Problem
			if err := c.SetTopics(t.Context(), row.topics); row.status == 0 {
				require.NoError(t, err)
			} else {
				require.ErrorAs(t, err, &problem, "%v", row.topics)
				require.Equal(t, row.status, problem.Status, "%v", row.topics)
			}
			r.publish(n, 1, "a.a")
			read.numbers(n, 1)
			n++
		}
	})
}

// TestSetTopicsWithoutHub checks that SetTopics waits while the hub is unreachable, and that the change
// takes effect even if the context of the call has ended.
func TestSetTopicsWithoutHub(t *testing.T) {
	bubble(t, func(t *testing.T, tr client.Transport) {
		r := newRig(t, rigConfig{Memory: true})
		c := r.client(client.Config{Transport: tr, Topics: []string{"a"}})
		read := r.reader(c)
		r.await(c, liveBy(tr))
		r.setUnreachable(true)
		r.await(c, isPhase(client.Waiting))
		ctx, cancel := contextFor(t, 10*time.Second)
		defer cancel()
		require.ErrorIs(t, c.SetTopics(ctx, []string{"b"}), ctx.Err())
		changed := make(chan error, 1)
		go func() { changed <- c.SetTopics(t.Context(), []string{"b", "c"}) }()
		time.Sleep(time.Minute)
		r.setUnreachable(false)
		require.NoError(t, <-changed)
		r.publish(0, 2, "a", "c")
		read.numbers(1, 1)
	})
}
