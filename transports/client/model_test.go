//go:build !js

package client_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/client"
)

// TestEventsArriveOnceInOrder runs a client under random conditions (lost connections, changes of
// transport and topics, an unreachable hub, expired events, a stalled program), and compares the
// events that it delivers with the published ones.
func TestEventsArriveOnceInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(timeless{t}, func(t *rapid.T) {
			m := newModel(t)
			t.Repeat(map[string]func(*rapid.T){
				"publish":     m.publish,
				"read":        m.read,
				"cut":         func(*rapid.T) { m.rig.cut() },
				"freeze":      func(*rapid.T) { synctest.Wait(); m.rig.freeze() },
				"unreachable": m.setUnreachable,
				"use":         m.use,
				"reconnect":   func(*rapid.T) { m.client.Reconnect() },
				"topics":      m.topics,
				"pass":        m.pass,
				"pause":       func(*rapid.T) { synctest.Wait() },
				"block":       m.block,
				"":            func(*rapid.T) {},
			})
			m.finish()
		})
	})
}

// timeless is a testing.T without a deadline: rapid would compare the deadline with the fake clock.
type timeless struct{ *testing.T }

func (timeless) Deadline() (time.Time, bool) { return time.Time{}, false }

// modelTopics are the topics of published events. The last one is always subscribed, so that the
// test can wait for the last event.
var modelTopics = []string{"a", "b", "c", "always"}

type model struct {
	rig    *rig
	client *client.Client
	events []*hub.Event // the event with seq n is at index n-1

	// topic contains the initial topics. eras contains one era for each set of topics so far, oldest
	// first. A change of topics takes effect after an unknown seq between the client's position and the
	// hub's last seq.
	topic []string
	given uint64 // seq of the program's position
	eras  []era
}

// era is a period in which the topics do not change. It begins after an unknown seq between earliest and
// latest.
type era struct {
	earliest, latest uint64
	topics           []string
}

func newModel(t *rapid.T) *model {
	r := newRig(t, rigConfig{Memory: true, Heartbeat: 15 * time.Second, Hub: hub.Config{Retention: hub.Retention{
		Events: rapid.SampledFrom([]int{20, 1000}).Draw(t, "retained"), Age: 240 * time.Hour,
	}}})
	m := &model{rig: r, topic: []string{"a", "always"}}
	m.client = r.client(client.Config{Topics: m.topic, Transport: m.draw(t)})
	r.await(m.client, isPhase(client.Live))
	m.eras = []era{{0, 0, m.topic}}
	return m
}

func (m *model) draw(t *rapid.T) client.Transport {
	return rapid.SampledFrom(append(slices.Clone(transports), client.Auto)).Draw(t, "transport")
}

func (m *model) publish(t *rapid.T) {
	for range rapid.IntRange(1, 12).Draw(t, "n") {
		m.publishOne(rapid.SampledFrom(modelTopics).Draw(t, "topic"))
	}
}

func (m *model) publishOne(topic string) {
	e := &hub.Event{Topic: topic, Data: []byte(strconv.Itoa(len(m.events)))}
	m.rig.send(e)
	m.events = append(m.events, e)
}

// read reads up to 10 events within 3 s, and checks each of them.
func (m *model) read(t *rapid.T) {
	m.readUpTo(rapid.IntRange(1, 10).Draw(t, "n"), 3*time.Second)
}

func (m *model) readUpTo(n int, patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for e, err := range m.client.Events(ctx) {
		if err != nil {
			require.ErrorIs(m.rig.t, err, context.DeadlineExceeded)
			return
		}
		m.check(e)
		if n--; n == 0 {
			return
		}
	}
}

// check requires that an event is newer than the previous one, and that its topic is subscribed to. If
// events of subscribed topics are missing between the two, a gap must have been reported before.
func (m *model) check(e client.Event) {
	t := m.rig.t
	cursor, err := hub.ParseCursor(e.ID)
	require.NoError(t, err)
	if e.Gap != nil {
		require.GreaterOrEqual(t, cursor.Seq, m.given, "a gap moved the position back")
		require.Equal(t, hub.GapExpired, e.Gap.Reason)
		m.given = cursor.Seq
		return
	}
	require.Greater(t, cursor.Seq, m.given, "an event arrived twice or out of order")
	for seq := m.given + 1; seq < cursor.Seq; seq++ {
		require.False(t, m.mustArrive(seq), "event %d on %q was not delivered before %d", seq, m.events[seq-1].Topic, cursor.Seq)
	}
	published := m.events[cursor.Seq-1]
	require.Equal(t, published.Topic, e.Topic)
	require.Equal(t, string(published.Data), string(e.Data))
	require.True(t, m.mayArrive(cursor.Seq), "event %d arrived, but its topic %q is not subscribed", cursor.Seq, e.Topic)
	m.given = cursor.Seq
	require.Equal(t, e.ID, m.client.Cursor())
}

// mustArrive reports whether the event must arrive: every era that may apply to it includes its topic.
func (m *model) mustArrive(seq uint64) bool {
	for _, era := range m.erasOf(seq) {
		if !slices.Contains(era.topics, m.events[seq-1].Topic) {
			return false
		}
	}
	return true
}

// mayArrive reports whether the event may arrive: an era that may apply to it includes its topic.
func (m *model) mayArrive(seq uint64) bool {
	return slices.ContainsFunc(m.erasOf(seq), func(e era) bool {
		return slices.Contains(e.topics, m.events[seq-1].Topic)
	})
}

// erasOf returns the eras that may apply to an event.
func (m *model) erasOf(seq uint64) []era {
	var eras []era
	for i, e := range m.eras {
		last := i == len(m.eras)-1
		if seq > e.earliest && (last || seq <= m.eras[i+1].latest) {
			eras = append(eras, e)
		}
	}
	return eras
}

func (m *model) topics(t *rapid.T) {
	var topics []string
	for _, topic := range modelTopics[:3] {
		if rapid.Bool().Draw(t, topic) {
			topics = append(topics, topic)
		}
	}
	topics = append(topics, "always")
	m.unblockAll()
	require.NoError(m.rig.t, m.client.SetTopics(context.Background(), topics))
	// For published events that the program has not read, the hub may use the old or the new topics.
	m.eras = append(m.eras, era{m.given, uint64(len(m.events)), topics})
}

// unblockAll makes the hub reachable and removes all proxies.
func (m *model) unblockAll() {
	m.rig.setUnreachable(false)
	m.rig.proxyAll(nil)
}

func (m *model) setUnreachable(t *rapid.T) { m.rig.setUnreachable(rapid.Bool().Draw(t, "unreachable")) }

func (m *model) use(t *rapid.T) { m.client.Use(m.draw(t)) }

func (m *model) pass(t *rapid.T) {
	time.Sleep(time.Duration(rapid.SampledFrom([]int{1, 500, 5_000, 120_000}).Draw(t, "ms")) * time.Millisecond)
}

// block replaces or restores one route.
func (m *model) block(t *rapid.T) {
	path := rapid.SampledFrom(paths).Draw(t, "path")
	handler := rapid.SampledFrom([]string{"free", "refused", "hanging"}).Draw(t, "how")
	m.rig.proxy(path, map[string]http.HandlerFunc{"free": nil, "refused": answers(502), "hanging": hang}[handler])
}

// finish reads all remaining events.
func (m *model) finish() {
	m.unblockAll()
	m.publishOne("always")
	for last := uint64(len(m.events)); m.given < last; {
		before := m.given
		m.readUpTo(1, 24*time.Hour)
		require.NotEqual(m.rig.t, before, m.given, fmt.Sprintf("no event arrives after %d: %+v", before, m.client.State()))
	}
}
