package wasmdemo

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// publish fills in the form and presses Enter.
func (p *page) publish(topic, data string) {
	p.Helper()
	eval[any](p.tab, "document.getElementById('kind-text').click()")
	p.write("#topic", topic)
	p.write("#data", data)
	before := p.compared()
	p.do(chromedp.SendKeys("#topic", "\r"))
	p.contains("#publish-answer", "Published as ")
	p.reaches(before + 1)
}

// offline sets whether the browser is offline. Open connections stay open.
func (p *page) offline(offline bool) {
	p.Helper()
	p.reportRequests(true) // Chromium emulates these conditions only while it reports requests
	_, err := chromedp.Call(p.ctx, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
		MatchedNetworkConditions: []*network.Conditions{{Offline: offline, DownloadThroughput: -1, UploadThroughput: -1}},
	})
	require.NoError(p, err)
	_, err = chromedp.Call(p.ctx, network.OverrideNetworkState, network.OverrideNetworkStateParams{
		Offline: offline, DownloadThroughput: -1, UploadThroughput: -1,
	})
	require.NoError(p, err)
}

// TestPage drives the page as a user would, and reads the banner after each step.
func TestPage(t *testing.T) {
	if testing.Short() {
		t.Skip("tests with a browser take a long time")
	}
	t.Parallel()
	browser := startBrowser(t)

	hub := startHub(t)
	p := &page{tab: openTab(t, browser, hub.URL+"/demo/#token="+hub.token("person"))}
	p.firstView(hub)
	p.publishes()
	p.broken()
	p.disturbed()
	twoTabs(p, hub)
	p.noComplaints()
	p.snippets()
}

// firstView checks that the page starts without a click, and that a phone shows the three columns
// without scrolling.
func (p *page) firstView(hub *realHub) {
	p.allLive()
	require.Equal(p, hub.URL+"/demo/", eval[string](p.tab, "location.href"), "the token is removed from the address")
	p.flows(2)
	p.pictures("first")
	p.flows(6)
	p.level("good")
	require.Equal(p, "Stop publishing", p.text("#load-go"))
	for column := 1; column <= 3; column++ {
		p.contains(part(column, "events"), "espresso")
		p.contains(part(column, "events"), "price")
	}
	require.NotContains(p, p.text("#snippet-curl"), "Bearer person")
	p.pictures("flowing-5")

	p.size(360, 740)
	require.LessOrEqual(p, eval[int](p.tab, "document.documentElement.scrollWidth"), 360, "no element is wider than a phone")
	require.LessOrEqual(p, eval[float64](p.tab, "document.querySelector('.road:nth-child(3)').getBoundingClientRect().bottom"), 740.0,
		"the three columns are in the first view of a phone")
	require.Zero(p, eval[int](p.tab, "document.querySelector('"+part(1, "events")+"').getClientRects().length"))
	p.click(part(1, "more"))
	p.await("document.querySelector('" + part(1, "events") + "').getClientRects().length === 1")
	p.click(part(1, "more"))
	p.size(1280, 1700)
	p.unload()
	p.settled()
}

// broken presses the button that interrupts the connection of one column, and waits for the result.
func (p *page) broken() {
	p.load(100)
	p.flows(20)
	p.record()
	p.click("#break-it")
	if p.artifacts() {
		p.mode(1, "broken")
		p.pictures("broken")
	}
	p.await("/missed [\\d,]+ events?, caught up in [\\d.]+ s: lost 0, doubled 0\\.$/.test(document.getElementById('break-text').innerText)")
	p.level("good")
	p.pictures("caught-up")
	require.Contains(p, p.recorded(), "broken")
	require.Contains(p, p.recorded(), "warn", "the banner is amber while the column is interrupted")
	require.NotContains(p, p.recorded(), "bad")
	p.unload()
	p.settled()
}

// TestPageWithoutItsBinary checks that the page explains why there is no binary, and that it shows
// the build's output as text.
func TestPageWithoutItsBinary(t *testing.T) {
	if testing.Short() {
		t.Skip("tests with a browser take a long time")
	}
	t.Parallel()
	browser := startBrowser(t)
	var build atomic.Value
	build.Store(`{"state":"building","detail":""}`)
	routes := http.NewServeMux()
	routes.Handle("/demo/", http.StripPrefix("/demo/", http.FileServerFS(os.DirFS("static"))))
	routes.HandleFunc("/demo/build", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, build.Load()) })
	server := httptest.NewServer(routes)
	defer server.Close()

	p := openTab(t, browser, server.URL+"/demo/#token=secret")
	p.contains("#boot", "is being built")
	require.NotContains(t, eval[string](p, "location.href"), "secret", "the token is removed from the address before the binary is loaded")
	build.Store(`{"state":"failed","detail":"app/main.go:1: <b>syntax</b> error"}`)
	p.contains("#boot", "did not build")
	p.contains("#boot-detail", "app/main.go:1: <b>syntax</b> error")
	build.Store(`{"state":"absent","detail":""}`)
	p.do(chromedp.Reload())
	p.contains("#boot", "go generate ./wasmdemo")
	build.Store(`{"state":"ready","detail":""}`)
	p.do(chromedp.Reload())
	p.contains("#boot", "does not run")
	p.contains("#boot-detail", "wasm_exec.js did not load")

	_, err := chromedp.Call(p.ctx, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: "delete globalThis.WebAssembly"})
	require.NoError(t, err)
	p.do(chromedp.Reload())
	p.contains("#boot", "This browser has no WebAssembly")
	_, err = chromedp.Call(p.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	require.NoError(t, err)
	p.do(chromedp.Reload())
	p.contains("noscript", "JavaScript is switched off")
}

func (p *page) publishes() {
	const markup = `<img src=x onerror="document.title='owned'">`
	p.publish("demo.markup", markup)
	for column := 1; column <= 3; column++ {
		p.contains(part(column, "events"), markup)
	}
	require.Zero(p, eval[int](p.tab, "document.querySelectorAll('main img').length"))
	require.NotEqual(p, "owned", eval[string](p.tab, "document.title"))

	p.write("#topic", "demo..x")
	p.contains("#topic-fault", "a token of a topic must not be empty")
	eval[any](p.tab, "document.getElementById('kind-json').click()")
	p.write("#topic", "demo.x")
	p.contains("#data-fault", "not valid JSON")
	p.write("#data", `{"x": 1}`)
	p.await("document.getElementById('data-fault').innerText === '' && document.getElementById('data').ariaInvalid === 'false'")
	published := p.compared()
	p.click("#publish-go")
	p.reaches(published + 1)

	p.write("#load-topic", "demo.beside")
	p.click("#one-go")
	p.reaches(published + 2)
	p.contains(part(1, "events"), "demo.beside")
	p.contains("#load-status", "published ")
	p.write("#load-topic", "demo..x")
	p.click("#one-go")
	p.contains("#load-fault", "a token of a topic must not be empty")
	p.write("#load-topic", "demo.shop")

	p.write("#load-rate", "0")
	p.click("#load-go")
	p.contains("#load-rate-fault", "must be a number from 1 to 1000")
	require.Equal(p, "true", eval[string](p.tab, "document.getElementById('load-rate').ariaInvalid"))
	require.NotEqual(p, "true", eval[any](p.tab, "document.getElementById('load-topic').ariaInvalid"))
	require.Equal(p, "Start publishing", p.text("#load-go"))
}

func (p *page) disturbed() {
	p.load(200)
	p.flows(20)
	for column := 1; column <= 3; column++ {
		p.click(part(column, "cut"))
	}
	p.allLive()
	p.flows(20)

	p.click(part(2, "stall"))
	p.mode(2, "stalled")
	p.await("/column 2 is stalled, [\\d,]+ behind/.test(document.getElementById('proof-headline').innerText)")
	p.level("warn")
	p.identical()
	p.click(part(2, "stall"))
	p.mode(2, "live")
	p.flows(50)

	p.click(part(3, "toggle"))
	p.mode(3, "off")
	p.await("/column 3 is disconnected, [\\d,]+ behind/.test(document.getElementById('proof-headline').innerText)")
	p.level("warn")
	require.Equal(p, "Resume", p.text(part(3, "toggle")))
	p.click(part(3, "toggle"))
	p.allLive()
	p.flows(50)

	require.True(p, eval[bool](p.tab, "document.querySelector('"+part(1, "use")+" [value=sse]').disabled"), "SSE cannot be selected while two columns use connections that count toward the browser's limit")
	for _, use := range []string{"eventsource", "websocket", "longpoll", "sse"} {
		p.choose(part(2, "use"), use)
		p.mode(2, "live")
		p.flows(20)
	}
	p.choose(part(3, "use"), "websocket")
	p.choose(part(1, "use"), "eventsource")
	p.allLive()
	p.flows(20)
	p.choose(part(1, "use"), "websocket")
	p.choose(part(3, "use"), "longpoll")
	p.allLive()

	p.load(1000)
	p.flows(1500)
	p.pictures("flowing-1000")
	require.Equal(p, 50, eval[int](p.tab, "document.querySelectorAll('"+part(1, "events")+" li').length"), "the list is bounded")
	p.unload()
	p.settled()
}

func (p *page) snippets() {
	require.Contains(p, p.text("#snippet-eventsource"), "••••••••")
	p.click("#reveal")
	p.await("!document.getElementById('snippet-eventsource').innerText.includes('•')")
	for _, name := range []string{"eventsource", "websocket", "polling"} {
		eval[any](p.tab, "void (async () => {"+p.text("#snippet-"+name)+"})()")
	}
	// A snippet logs the events that are published after it has connected.
	const about = "for the copied snippets"
	for end := time.Now().Add(patience); strings.Count(p.consoleText(), about) < 3; {
		require.True(p, time.Now().Before(end), "%d of 3 snippets received an event", strings.Count(p.consoleText(), about))
		p.publish("demo.snippet", about)
	}
	p.click("#reveal")
	p.click("[data-copy=websocket]")
	p.await("document.getElementById('copied').innerText !== ''")
	p.click("[data-copy=curl]")
	p.await("document.querySelector('[data-copy=curl]').innerText !== 'Copy'")
	require.Contains(p, p.text("#snippet-curl"), "curl -N http://127.0.0.1:")
	require.Contains(p, p.text("#snippet-curl"), "/sse -H 'Authorization: Bearer ")
}

// twoTabs opens a second tab in the same window, so that the first one is hidden and releases its
// connections. It also opens a third tab in another window.
func twoTabs(first *page, hub *realHub) {
	address := hub.URL + "/demo/#token=" + hub.token("second")
	over := &page{tab: openTab(first.T, first.ctx, address, chromedp.WithNewWindow(false))}
	over.allLive()
	over.unload()
	first.mode(1, "live") // a WebSocket does not use one of the six connections per host
	first.mode(2, "hidden")
	first.mode(3, "hidden")
	seen := first.compared()
	over.publish("demo.tabs", "seen by one")

	_, err := chromedp.Call(first.ctx, cdppage.BringToFront, cdp.Empty{})
	require.NoError(first, err)
	first.allLive()
	first.reaches(seen + 1)
	first.settled()
	over.mode(3, "hidden")

	beside := &page{tab: openTab(first.T, first.ctx, address)}
	beside.allLive()
	first.allLive()
	for _, p := range []*page{beside, first} {
		p.load(100)
	}
	for _, p := range []*page{first, beside} {
		p.publish("demo.tabs", "seen by both")
		p.flows(100)
	}
	for _, p := range []*page{first, beside} {
		p.unload()
	}
	for _, p := range []*page{first, beside} {
		p.settled()
		p.noComplaints()
	}
	over.close()
	beside.close() // this tab uses two of the browser's six connections per host
}
