//go:build !js

package clienttest

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTabsFaults checks that each of several tabs with a shared connection receives every event
// once and in order, and each gap once, while the network fails and the hub restarts.
func TestTabsFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("tests with a browser take a long time")
	}
	t.Parallel()
	store := filepath.Join(t.TempDir(), "store")
	g := newTabs(t, "--engine=embedded", "--store="+store, "--retain-events=100")
	kill := func() { require.NoError(t, g.hub.hub.end(os.Kill)) }
	start := func() { require.NoError(t, g.hub.start()) }
	heal := func() { require.NoError(t, g.hub.faults.swap()) }
	options := map[string]any{"topics": []string{"a.>"}, "token": userToken(t, "ann", ">", time.Hour), "transport": "ws", "maxWait": 200}
	all := []*tab{g.openLive("1", options), g.openLive("2", options), g.openLive("3", options)}
	g.publish("a.1", 20, all...)
	g.check(all...)
	for _, row := range []struct {
		name   string
		fault  func()
		during int // the number of events that are published during the fault
		end    func()
		gap    string // the reason of the gap that each tab reports; "" for none
	}{
		{name: "the network fails", fault: g.hub.faults.stop, during: 20, end: heal},
		{name: "the hub restarts", fault: kill, end: start},
		{name: "the network fails until events have expired", fault: g.hub.faults.stop, during: 300, end: heal, gap: "expired"},
		{name: "the hub restarts without its events", fault: func() {
			kill()
			require.NoError(t, os.RemoveAll(store))
		}, end: start, gap: "epoch"},
	} {
		t.Log(row.name)
		row.fault()
		for _, tb := range all {
			tb.await("offline", func(v tabView) bool { return v.Phase != "live" })
		}
		if row.during > 0 {
			g.publish("a.1", row.during, all...)
		}
		row.end()
		if row.gap != "" {
			for _, tb := range all {
				tb.skip(row.gap, row.during)
			}
		}
		g.publish("a.1", 20, all...)
		g.check(all...)
		g.leader(all...)
	}
}

// skip waits until the tab has reported a gap and received the newest event. It checks that at least one of
// the n events published during the fault is missing, and that the missing events are the oldest of these n.
// If n is 0, no event may be missing.
func (tb *tab) skip(reason string, n int) {
	t := tb.tabs.t
	t.Helper()
	newest := tb.want[len(tb.want)-1]
	v := tb.await("complete after a gap", func(v tabView) bool { return len(v.Gaps) > len(tb.gaps) && v.Got[len(v.Got)-1] == newest })
	before := tb.want[:len(tb.want)-n]
	require.Equal(t, before, v.Got[:len(before)], tb.name)
	after := v.Got[len(before):]
	require.Equal(t, tb.want[len(tb.want)-len(after):], after, tb.name)
	require.Equal(t, n > 0, len(after) < n, "events were lost if and only if some were published during the fault")
	tb.gaps = append(tb.gaps, reason)
	tb.want = v.Got
}

// TestTabsByOption checks which tabs share a connection, and that each tab gets every event once and in order, with
// different options and with browsers that have no usable Web Locks.
func TestTabsByOption(t *testing.T) {
	if testing.Short() {
		t.Skip("tests with a browser take a long time")
	}
	t.Parallel()
	g := newTabs(t)
	carl, dora := userToken(t, "carl", ">", time.Hour), userToken(t, "dora", ">", time.Hour)
	for _, row := range []struct {
		name        string
		first       map[string]any
		second      map[string]any
		connections int
	}{
		{"two users with one name", map[string]any{"tabs": "team", "token": carl}, map[string]any{"tabs": "team", "token": dora}, 1},
		{"two names of one user", map[string]any{"tabs": "team", "token": carl}, map[string]any{"tabs": "other", "token": carl}, 2},
		{"no Web Locks", map[string]any{"locks": "missing", "token": carl}, map[string]any{"locks": "missing", "token": carl}, 2},
		{"refused Web Locks", map[string]any{"locks": "refused", "token": carl}, map[string]any{"locks": "refused", "token": carl}, 2},
		{"Web Locks refused in one tab", map[string]any{"token": carl}, map[string]any{"locks": "refused", "token": carl}, 2},
	} {
		t.Log(row.name)
		var pair []*tab
		for _, options := range []map[string]any{row.first, row.second} {
			options["transport"] = "ws" // the test counts WebSockets, and auto may select another transport on a busy machine
			pair = append(pair, g.openLive(row.name, options))
		}
		g.connected(row.connections, pair...)
		g.publish("a.1", 20, pair...)
		g.check(pair...)
		require.NoError(t, g.hub.faults.swap()) // closes all connections
		g.publish("a.1", 20, pair...)
		g.check(pair...)
		pair[0].close()
		g.publish("a.1", 20, pair[1])
		g.check(pair[1])
		g.connected(1, pair[1])
		pair[1].close()
	}
}
