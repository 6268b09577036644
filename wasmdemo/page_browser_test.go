package wasmdemo

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
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

// page is the demo page in a tab.
type page struct {
	*tab
}

// part is the selector of a part of a column, from 1.
func part(column int, name string) string {
	return ".road:nth-child(" + strconv.Itoa(column) + ") [data-part=" + name + "]"
}

// mode waits until a column does something.
func (p *page) mode(column int, mode string) {
	p.Helper()
	p.await("document.querySelector('.road:nth-child(" + strconv.Itoa(column) + ")')?.dataset.mode === '" + mode + "'")
}

func (p *page) allLive() {
	p.Helper()
	for column := 1; column <= 3; column++ {
		p.mode(column, "live")
	}
}

// proved reads the proof line: it is not red, and has nothing lost, doubled or out of order.
func (p *page) proved() {
	p.Helper()
	require.NotEqual(p, "bad", eval[string](p.tab, "document.getElementById('proof').dataset.state"), p.text("#proof"))
	require.Regexp(p, `^[\d,]+ compared · lost 0 · doubled 0 · out of order 0$`, p.text("#proof-counts"))
}

// flows waits until the proof says that the columns have the same, and more events than now.
func (p *page) flows(more int) {
	p.Helper()
	p.reaches(p.compared() + more)
}

// reaches waits until the proof has compared so many events, and that they are the same.
func (p *page) reaches(events int) {
	p.Helper()
	p.await("+document.getElementById('proof-counts').innerText.split(' ')[0].replaceAll(',', '') >= " + strconv.Itoa(events))
	p.proved()
	p.contains("#proof-headline", "The three columns have the same events in the same order.")
}

// atRest waits, with the load off, until no column is behind.
func (p *page) atRest() {
	p.Helper()
	p.await("!document.getElementById('proof-detail').innerText.includes('behind')")
	p.proved()
}

func (p *page) compared() int {
	p.Helper()
	n, err := strconv.Atoi(strings.ReplaceAll(strings.Fields(p.text("#proof-counts"))[0], ",", ""))
	require.NoError(p, err)
	return n
}

func (p *page) load(rate int) {
	p.Helper()
	p.write("#load-rate", strconv.Itoa(rate))
	p.click("#load-go")
	p.await("document.getElementById('load-go').innerText === 'Switch the load off'")
}

func (p *page) unload() {
	p.Helper()
	p.click("#load-go")
	p.await("document.getElementById('load-go').innerText === 'Switch the load on'")
}

// publish fills the form in, and presses Enter.
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

// offline has the browser lose the network, or find it again. It lets what is under way be.
func (p *page) offline(offline bool) {
	p.Helper()
	_, err := chromedp.Call(p.ctx, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
		MatchedNetworkConditions: []*network.Conditions{{Offline: offline, DownloadThroughput: -1, UploadThroughput: -1}},
	})
	require.NoError(p, err)
	_, err = chromedp.Call(p.ctx, network.OverrideNetworkState, network.OverrideNetworkStateParams{
		Offline: offline, DownloadThroughput: -1, UploadThroughput: -1,
	})
	require.NoError(p, err)
}

// TestPage drives the page as a person would, and reads the proof line each time.
func TestPage(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser takes long")
	}
	t.Parallel()
	browser := startBrowser(t)

	calm := startHub(t)
	p := &page{tab: openTab(t, browser, calm.URL+"/demo/#token="+calm.token("person"))}
	p.allLive()
	require.Equal(t, calm.URL+"/demo/", eval[string](p.tab, "location.href"), "the token is gone from the address")

	p.publishes()
	p.disturbed()
	p.pictures()
	twoTabs(p, calm)
	p.calm()
	p.snippets()
}

// TestPageWithoutItsProgram: what is missing is said in words, and what the build said is shown as text.
func TestPageWithoutItsProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser takes long")
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
	require.NotContains(t, eval[string](p, "location.href"), "secret", "the token does not wait for the program")
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
	p.contains("#topic-fault", "no token of a topic is empty")
	eval[any](p.tab, "document.getElementById('kind-json').click()")
	p.write("#topic", "demo.x")
	p.contains("#data-fault", "this is no JSON")
	p.write("#data", `{"x": 1}`)
	p.await("document.getElementById('data-fault').innerText === '' && document.getElementById('data').ariaInvalid === 'false'")
	p.click("#publish-go")
	p.reaches(2)
	p.click("[form=publish]") // the button beside the load, of the same event
	p.reaches(3)

	p.write("#load-rate", "0")
	p.click("#load-go")
	p.contains("#load-rate-fault", "a number from 1 to 1000 is expected")
	require.Equal(p, "true", eval[string](p.tab, "document.getElementById('load-rate').ariaInvalid"))
	require.NotEqual(p, "true", eval[any](p.tab, "document.getElementById('load-topic').ariaInvalid"))
	require.Equal(p, "Switch the load on", p.text("#load-go"))
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
	p.contains("#proof-detail", "column 2 is behind by ")
	p.proved()
	p.click(part(2, "stall"))
	p.mode(2, "live")
	p.flows(50)

	p.click(part(3, "toggle"))
	p.mode(3, "off")
	p.contains("#proof-detail", "column 3 is behind by ")
	require.Equal(p, "Resume", p.text(part(3, "toggle")))
	p.click(part(3, "toggle"))
	p.allLive()
	p.flows(50)

	require.True(p, eval[bool](p.tab, "document.querySelector('"+part(1, "use")+" [value=sse]').disabled"), "two are held already")
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

	p.write("#load-rate", "1000")
	p.flows(1500)
	require.Equal(p, 50, eval[int](p.tab, "document.querySelectorAll('"+part(1, "events")+" li').length"), "the list is bounded")
	p.unload()
	p.atRest()
	require.Contains(p, p.text("#proof-detail"), "all three are level")
}

func (p *page) snippets() {
	require.Contains(p, p.text("#snippet-eventsource"), "••••••••")
	p.click("#reveal")
	p.await("!document.getElementById('snippet-eventsource').innerText.includes('•')")
	for _, name := range []string{"eventsource", "websocket", "polling"} {
		eval[any](p.tab, "void (async () => {"+p.text("#snippet-"+name)+"})()")
	}
	// Each begins with the next event, once it is connected, and tells the console.
	const about = "copied programs read this"
	for end := time.Now().Add(patience / 4); strings.Count(p.said(), about) < 3; {
		require.True(p, time.Now().Before(end), "%d of 3 tell", strings.Count(p.said(), about))
		p.publish("demo.snippet", about)
	}
	p.click("#reveal")
	p.click("[data-copy=websocket]")
	p.await("document.getElementById('copied').innerText !== ''")
}

// twoTabs: a second tab is opened over the first, which lets go what it holds; then a third beside it,
// in a window of its own.
func twoTabs(first *page, hub *realHub) {
	address := hub.URL + "/demo/#token=" + hub.token("second")
	over := &page{tab: openTab(first.T, first.ctx, address, chromedp.WithNewWindow(false))}
	over.allLive()
	first.mode(1, "live") // a WebSocket is none of the six connections
	first.mode(2, "hidden")
	first.mode(3, "hidden")
	seen := first.compared()
	over.publish("demo.tabs", "seen by one")

	_, err := chromedp.Call(first.ctx, cdppage.BringToFront, cdp.Empty{})
	require.NoError(first, err)
	first.allLive()
	first.reaches(seen + 1)
	first.atRest()
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
		p.atRest()
		p.calm()
	}
	over.close()
	beside.close() // its connections are some of the browser's six, and others will be needed
}

func (p *page) pictures() {
	p.load(40)
	p.flows(60)
	eval[any](p.tab, "scrollTo(0, 0)")
	for _, theme := range []string{"light", "dark"} {
		p.theme(theme)
		time.Sleep(300 * time.Millisecond)
		p.shot(theme + ".png")
	}
	p.theme("light")
	p.size(360, 2400)
	time.Sleep(300 * time.Millisecond)
	require.LessOrEqual(p, eval[int](p.tab, "document.documentElement.scrollWidth"), 360, "nothing is wider than a phone")
	p.shot("narrow.png")
	p.size(1280, 1700)
	p.unload()
}
