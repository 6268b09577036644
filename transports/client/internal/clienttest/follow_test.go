package clienttest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/transports/client"
)

// follower reads a client's events, which are numbered per topic, and checks that none is missing,
// repeated or out of order.
type follower struct {
	client testedClient
	hub    *hub
	done   chan struct{} // closed when the events have ended

	mu      sync.Mutex
	last    map[string]int // number of the last event by topic
	gaps    []client.Gap
	fault   error         // the first event that was out of order
	end     error         // the error with which the events ended
	changed chan struct{} // closed at each change of the fields above
}

// testedClient is the client under test: the Go client, or trivium.js with the same methods.
type testedClient interface {
	Close()
	Events(context.Context) iter.Seq2[client.Event, error]
	Publish(context.Context, ...client.Event) (string, error)
	Reconnect()
	SetTopics(context.Context, []string) error
	State() client.State
	States(context.Context) iter.Seq[client.State]
	Stats() client.Stats
	Use(client.Transport)
}

// connect returns a live client for the topic "t". change, if not nil, modifies its configuration.
func (h *hub) connect(t *testing.T, tr client.Transport, change func(*client.Config)) testedClient {
	t.Helper()
	c := h.begin(t, tr, change)
	await(t, c, "live", func(s client.State) bool { return s.Phase == client.Live })
	return c
}

// begin is like connect, but does not wait until the client is Live.
func (h *hub) begin(t *testing.T, tr client.Transport, change func(*client.Config)) testedClient {
	t.Helper()
	cfg := client.Config{
		URL: h.URL, Token: tokens(time.Hour), Transport: tr, Topics: []string{"t"},
		// These limits are long, so that connections are ended by the scenario and not by a slow
		// machine.
		Silence: time.Hour, OpenTimeout: patience, MaxWait: 200 * time.Millisecond,
	}
	if change != nil {
		change(&cfg)
	}
	c, err := connectClient(cfg)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// await waits for a state.
func await(t *testing.T, c testedClient, what string, ok func(client.State) bool) client.State {
	t.Helper()
	var seen []string
	for s := range c.States(withPatience(t)) {
		if ok(s) {
			return s
		}
		seen = append(seen, fmt.Sprintf("%v over %d: %v", s.Phase, s.Transport, s.Reason))
	}
	require.Fail(t, "timeout while waiting for a state: "+what, "%q", seen)
	return client.State{}
}

func notLive(s client.State) bool { return s.Phase != client.Live }

// follow connects a client and reads its events until the test ends.
func (h *hub) follow(t *testing.T, tr client.Transport, change func(*client.Config)) *follower {
	t.Helper()
	return h.followClient(t, h.connect(t, tr, change))
}

func (h *hub) followClient(t *testing.T, c testedClient) *follower {
	f := &follower{
		client: c, hub: h, last: map[string]int{}, changed: make(chan struct{}), done: make(chan struct{}),
	}
	go func() {
		defer close(f.done)
		for e, err := range c.Events(context.Background()) {
			f.note(e, err)
		}
	}()
	t.Cleanup(func() {
		c.Close()
		<-f.done
		require.NoError(t, f.fault)
	})
	return f
}

func (f *follower) note(e client.Event, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var data struct{ N int }
	switch {
	case err != nil:
		f.end = err
	case e.Gap != nil:
		f.gaps = append(f.gaps, *e.Gap)
	default:
		if err := json.Unmarshal(e.Data, &data); err != nil && f.fault == nil {
			f.fault = err
		}
		if last, found := f.last[e.Topic]; found && data.N != last+1 && f.fault == nil {
			f.fault = fmt.Errorf("on %s, %d arrived after %d", e.Topic, data.N, last)
		}
		f.last[e.Topic] = data.N
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

// wait waits until a condition on the received events is true. It fails the test if an event is
// missing, repeated or out of order.
func (f *follower) wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	timeout := time.After(patience)
	for {
		f.mu.Lock()
		holds, fault, changed, last := ok(), f.fault, f.changed, fmt.Sprint(f.last, f.gaps, f.end)
		f.mu.Unlock()
		require.NoError(t, fault)
		if holds {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			require.Fail(t, "timeout while waiting for "+what, "after %s; %+v", last, f.client.State())
		}
	}
}

// reach waits until event n of the topic has arrived.
func (f *follower) reach(t *testing.T, topic string, n int) {
	t.Helper()
	f.wait(t, fmt.Sprintf("%s %d", topic, n), func() bool { return f.last[topic] >= n })
	f.mu.Lock()
	defer f.mu.Unlock()
	require.Equal(t, n, f.last[topic], topic)
}

// publish publishes n events on the topic "t", and waits until they have arrived.
func (f *follower) publish(t *testing.T, n int) {
	t.Helper()
	f.reach(t, "t", f.hub.publish(t, "t", n, 0))
}

// noGap checks that no gap was reported.
func (f *follower) noGap(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	require.Empty(t, f.gaps)
}

// ends waits until the client delivers no more events, and returns the error that Events has reported.
func (f *follower) ends(t *testing.T) error {
	t.Helper()
	f.wait(t, "the end", func() bool { return f.end != nil })
	return f.end
}

// refusal checks that the error is a *client.FinalError.
func refusal(t *testing.T, err error) *client.FinalError {
	t.Helper()
	var final *client.FinalError
	require.True(t, errors.As(err, &final), "%v", err)
	return final
}
