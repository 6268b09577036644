//go:build !js

package clienttest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tabs is a set of tabs that run trivium.js with shared connections.
type tabs struct {
	t       *testing.T
	browser context.Context
	harness *harness
	hub     *station
	hold    *httptest.Server // answers only after release was called
	release func()
}

// newTabs starts a hub with the given flags, and a browser.
func newTabs(t *testing.T, flags ...string) *tabs {
	path := browser(t)
	g := &tabs{t: t, harness: startHarness(t), browser: browserAt(t, path)}
	_, err := hubBinary()
	require.NoError(t, err)
	g.hub, err = g.harness.newStation(flags)
	require.NoError(t, err)
	t.Cleanup(g.hub.close)
	released := make(chan struct{})
	g.release = sync.OnceFunc(func() { close(released) })
	g.hold = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		select {
		case <-released:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() {
		g.release()
		g.hold.CloseClientConnections()
		g.hold.Close()
	})
	return g
}

// tab is a browser tab.
type tab struct {
	tabs    *tabs
	name    string
	ctx     context.Context
	address string
	want    []string // the events that it should have received
	gaps    []string // the gaps that it should have reported
}

// tabView is the state that a tab reports.
type tabView struct {
	Got      []string `json:"got"`
	Gaps     []string `json:"gaps"`
	Sockets  int      `json:"sockets"`
	Restored int      `json:"restored"`
	Phase    string   `json:"phase"`
	Error    string   `json:"error"`
}

// open opens a tab, which subscribes with the given options.
func (g *tabs) open(name string, options map[string]any) *tab {
	g.t.Helper()
	all := map[string]any{"url": "http://" + g.hub.faults.listen}
	maps.Copy(all, options)
	text, err := json.Marshal(all)
	require.NoError(g.t, err)
	tb := &tab{tabs: g, name: name, gaps: []string{}, address: g.harness.server.URL + "/page/tabs.html#" + url.PathEscape(string(text))}
	ctx, _ := chromedp.NewContext(g.browser)
	tb.ctx = ctx
	g.t.Cleanup(tb.close)
	require.NoError(g.t, navigate(ctx, tb.address))
	return tb
}

// openLive opens a tab, and waits until it is live.
func (g *tabs) openLive(name string, options map[string]any) *tab {
	g.t.Helper()
	tb := g.open(name, options)
	tb.await("live", func(v tabView) bool { return v.Phase == "live" })
	return tb
}

// close closes the tab. It ignores errors, because closing a crashed tab returns one.
func (tb *tab) close() {
	_ = chromedp.Cancel(tb.ctx)
}

// evaluate returns the value of an expression in the tab.
func evaluate[T any](tb *tab, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression))
}

// do runs JavaScript in the tab.
func (tb *tab) do(expression string) {
	tb.tabs.t.Helper()
	_, err := evaluate[any](tb, expression)
	require.NoError(tb.tabs.t, err)
}

// awaitTrue waits until an expression is true in the tab.
func (tb *tab) awaitTrue(expression string) {
	tb.tabs.t.Helper()
	if !assert.Eventually(tb.tabs.t, func() bool {
		isTrue, err := evaluate[bool](tb, expression)
		return err == nil && isTrue
	}, patience, 50*time.Millisecond) {
		v, err := tb.look()
		require.FailNow(tb.tabs.t, "tab "+tb.name+": timeout while waiting for: "+expression, "%+v %v", v, err)
	}
}

func (tb *tab) look() (tabView, error) {
	return evaluate[tabView](tb, `globalThis.look?.() ?? {}`)
}

// await waits until ok returns true for the tab's state. what describes the wanted state.
func (tb *tab) await(what string, ok func(tabView) bool) tabView {
	tb.tabs.t.Helper()
	var v tabView
	var err error
	if !assert.Eventually(tb.tabs.t, func() bool {
		v, err = tb.look()
		return err == nil && ok(v)
	}, patience, 50*time.Millisecond) {
		require.FailNow(tb.tabs.t, "tab "+tb.name+" did not become "+what, "%+v %v", v, err)
	}
	return v
}

// publish publishes events, and records them for the tabs that should receive them.
func (g *tabs) publish(topic string, n int, to ...*tab) {
	g.t.Helper()
	_, err := g.hub.publish(g.t.Context(), topic, n, 0)
	require.NoError(g.t, err)
	last := g.hub.counts[topic]
	for _, tb := range to {
		for i := last - n + 1; i <= last; i++ {
			tb.want = append(tb.want, fmt.Sprintf("%s %d", topic, i))
		}
	}
}

// check waits until the tabs have received their events, and checks that each tab has received each
// event once and in order.
func (g *tabs) check(list ...*tab) {
	g.t.Helper()
	for _, tb := range list {
		tb.awaitTrue(fmt.Sprintf("look().got.length >= %d", len(tb.want)))
		v, err := tb.look()
		require.NoError(g.t, err)
		require.Equal(g.t, tb.want, v.Got, tb.name)
		require.Equal(g.t, tb.gaps, v.Gaps, tb.name)
	}
}

// leader waits until exactly one of the tabs has a connection. It returns that tab and the other
// tabs.
func (g *tabs) leader(list ...*tab) (leader *tab, others []*tab) {
	g.t.Helper()
	return g.connected(1, list...)
}

// connected waits until the tabs have the wanted number of connections. It returns a tab with a connection, and the
// tabs without one.
func (g *tabs) connected(want int, list ...*tab) (leader *tab, others []*tab) {
	g.t.Helper()
	count := 0
	require.Eventually(g.t, func() bool {
		count, leader, others = 0, nil, nil
		for _, tb := range list {
			sockets, err := evaluate[int](tb, "look().sockets")
			if err != nil {
				return false
			}
			if sockets > 0 {
				leader = tb
				count += sockets
			} else {
				others = append(others, tb)
			}
		}
		return count == want
	}, patience, 50*time.Millisecond, "the tabs have %d connections", want)
	return leader, others
}

// userToken creates a token for a user. The parameter right is a filter for the topics that the user may
// subscribe to.
func userToken(t *testing.T, user, right string, life time.Duration) string {
	t.Helper()
	value, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": user, "exp": time.Now().Add(life).Unix(), "subscribe": []string{right},
	}).SignedString(secret)
	require.NoError(t, err)
	return value
}

// TestTabs checks that five tabs share a connection, and that each tab receives every event once and in
// order. This must hold even if the tab with the connection crashes, is closed or frozen, or navigates to
// another page and back.
func TestTabs(t *testing.T) {
	if testing.Short() {
		t.Skip("tests with a browser take a long time")
	}
	t.Parallel()
	g := newTabs(t)
	options := map[string]any{"topics": []string{"a.>"}, "token": userToken(t, "ann", ">", time.Hour)}
	var all []*tab
	for i := range 5 {
		all = append(all, g.openLive(fmt.Sprint(i), options))
	}
	leader, others := g.leader(all...)
	g.publish("a.1", 20, all...)
	g.check(all...)

	t.Log("the leader crashes")
	go func() { // a page that crashes does not answer
		ctx, cancel := context.WithTimeout(leader.ctx, patience)
		defer cancel()
		_, _ = chromedp.Call(ctx, page.Crash, cdp.Empty{})
	}()
	all = others
	g.publish("a.1", 20, all...)
	g.check(all...)
	leader, others = g.leader(all...)

	t.Log("the leader is closed")
	leader.close()
	all = others
	g.publish("a.1", 20, all...)
	g.check(all...)
	all = append(all, g.openLive("5", options), g.openLive("6", options))
	leader, others = g.leader(all...)
	g.publish("a.1", 20, all...)
	g.check(all...)

	t.Log("the leader is frozen")
	setState := func(tb *tab, state page.SetWebLifecycleStateState) {
		_, err := chromedp.Call(tb.ctx, page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: state})
		require.NoError(t, err)
	}
	setState(leader, page.SetWebLifecycleStateStateFrozen)
	g.publish("a.1", 20, all...)
	g.check(others...)
	setState(leader, page.SetWebLifecycleStateStateActive)
	g.check(all...)
	leader, others = g.leader(all...)

	t.Log("the leader navigates to another page, and the browser restores it later")
	require.NoError(t, chromedp.Do(leader.ctx, chromedp.Navigate(g.harness.server.URL+"/page/plain.js")))
	g.publish("a.1", 20, all...)
	g.check(others...)
	leader.do("history.back()") // chromedp would wait for a load event, which is not fired
	g.check(all...)
	v, err := leader.look()
	require.NoError(t, err)
	require.Equal(t, 1, v.Restored, "the page was restored from the cache of the browser")
	g.leader(all...)
}

// TestTabsBlocked checks that the other tabs replace a leader that is blocked, and that each tab receives every event once
// and in order.
func TestTabsBlocked(t *testing.T) {
	if testing.Short() {
		t.Skip("tests with a browser take a long time")
	}
	t.Parallel()
	g := newTabs(t)
	options := map[string]any{"topics": []string{"a.>"}, "token": userToken(t, "ann", ">", time.Hour)}
	all := []*tab{g.openLive("0", options), g.openLive("1", options), g.openLive("2", options)}
	leader, others := g.leader(all...)
	g.publish("a.1", 20, all...)
	g.check(all...)

	hung := make(chan error, 1)
	go func() {
		_, err := chromedp.Run(leader.ctx, chromedp.Evaluate[any](fmt.Sprintf("hang(%q)", g.hold.URL)))
		hung <- err
	}()
	g.publish("a.1", 20, all...)
	g.check(others...)
	g.leader(others...)
	g.release()
	require.NoError(t, <-hung)
	g.publish("a.1", 20, all...)
	g.check(all...)
	g.leader(all...)
}

// TestTabsWithDifferentTopics checks that tabs with different topics or users do not share
// connections, and that a tab with a renewed token stays in its group. A refused tab must not end
// other tabs. A slow tab must not delay other tabs, and must not lose events.
func TestTabsWithDifferentTopics(t *testing.T) {
	if testing.Short() {
		t.Skip("tests with a browser take a long time")
	}
	t.Parallel()
	g := newTabs(t)
	options := func(topic, user, right string, life time.Duration) map[string]any {
		return map[string]any{"topics": []string{topic}, "token": userToken(t, user, right, life)}
	}
	annA := []*tab{
		g.openLive("ann a 1", options("a.>", "ann", ">", time.Hour)),
		g.openLive("ann a 2", options("a.>", "ann", ">", 2*time.Hour)), // a renewed token
	}
	annB := []*tab{
		g.openLive("ann b 1", options("b.>", "ann", ">", time.Hour)),
		g.openLive("ann b 2", options("b.>", "ann", ">", time.Hour)),
	}
	bobA := []*tab{g.openLive("bob a", options("a.>", "bob", ">", time.Hour))}
	g.open("refused", options("a.>", "ann", "b.>", time.Hour)).await("closed", func(v tabView) bool { return v.Phase == "closed" && v.Error != "" })
	for _, group := range [][]*tab{annA, annB, bobA} {
		g.leader(group...)
	}
	g.publish("b.1", 20, annB...)
	g.publish("a.1", 20, append(bobA, annA...)...) // published last, so that the tabs that change their topics below begin after these events
	g.check(bobA...)
	g.check(annA...)
	g.check(annB...)

	t.Log("the leader of a group changes its topics")
	leader, others := g.leader(annA...)
	leader.do(`events.setTopics(["b.>"])`)
	g.leader(others...)
	annB = append(annB, leader)
	g.leader(annB...)
	g.publish("a.1", 20, append(bobA, others...)...)
	g.publish("b.1", 20, annB...)
	g.check(bobA...)
	g.check(others...)
	g.check(annB...)

	t.Log("a change of topics is refused")
	for range 10 {
		bobA[0].do(`events.setTopics(["a..b"]).catch(({ status }) => (globalThis.refusal = status))`)
		bobA[0].awaitTrue("globalThis.refusal === 400")
		bobA[0].do("globalThis.refusal = undefined")
		g.publish("a.1", 1, append(bobA, others...)...)
		g.check(bobA...)
	}
	g.leader(bobA...)

	t.Log("a tab is slow")
	slow := options("b.>", "ann", ">", time.Hour)
	slow["held"] = true
	held := g.openLive("slow", slow)
	g.publish("b.1", 5000, append(annB, held)...)
	g.check(annB...)
	g.publish("b.1", 20, append(annB, held)...)
	held.do("startReading()")
	g.check(append(annB, held)...)
	g.leader(append(annB, held)...)
}
