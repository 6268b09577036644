package wasmdemo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

const examplesDir = "static/examples/"

// The first code block of the README is the example five-lines.js.
func TestReadmeBeginsWithAnExample(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	example, err := os.ReadFile(examplesDir + "five-lines.js")
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```\\w*\n(.*?)```\n").FindSubmatch(readme)
	require.NotNil(t, block)
	require.Equal(t, string(example), string(block[1]))
	require.Equal(t, 5, bytes.Count(example, []byte("\n")))
}

// exampleNames lists the examples in the order of the index.
var exampleNames = []string{"prices", "chat", "text", "cursors", "five-lines"}

// examples opens the examples of a hub in a browser.
type examples struct {
	*testing.T
	hub   *realHub
	token string
	open  func(name string) *tab
}

// TestExamples uses each example as a visitor would. If an example is for several visitors, the
// test opens it in two tabs.
func TestExamples(t *testing.T) {
	if testing.Short() {
		t.Skip("tests with a browser take a long time")
	}
	t.Parallel()
	browser := startBrowser(t)
	hub := startHub(t)
	e := &examples{T: t, hub: hub, token: hub.token("visitor")}
	e.open = func(name string) *tab { return openTab(t, browser, hub.URL+"/demo/examples/"+name+".html") }

	e.signIn()
	index := openTab(t, browser, hub.URL+"/demo/examples/#token="+e.token)
	index.await("location.hash === ''")
	require.Equal(t, hub.URL+"/demo/examples/", eval[string](index, "location.href"), "the token is removed from the address")
	links := eval[string](index, "[...document.querySelectorAll('.cards a')].map((a) => a.getAttribute('href')).join(' ')")
	require.Equal(t, strings.Join(exampleNames, ".html ")+".html", links)
	pictures(index, "examples")

	e.prices()
	e.chat()
	e.text()
	e.cursors()
	e.fiveLines()
	e.follow(index)
}

// signIn opens an example without a token, enters an invalid token, and then a valid one.
func (e *examples) signIn() {
	p := e.open("chat")
	p.contains("#notice", "This hub requires a token")
	pictures(p, "examples-token")
	p.write("#token", "wrong")
	p.click("#notice button")
	p.contains("#notice", "The hub refuses the token")
	p.write("#token", e.token)
	p.click("#notice button")
	p.await("document.querySelector('#notice')?.hidden === true && document.querySelector('code[data-file]').innerText !== ''")
	source, err := os.ReadFile(examplesDir + "chat.js")
	require.NoError(e, err)
	require.Equal(e, strings.TrimSpace(string(source)), eval[string](p, "document.querySelector('code[data-file]').textContent"))
	require.Contains(e, eval[string](p, "document.querySelector('#html').textContent"), `<ol id="messages"></ol>`)
	p.close()
}

// publish publishes events over HTTP.
func (e *examples) publish(topic, key string, data ...any) {
	var events []map[string]any
	for _, d := range data {
		events = append(events, map[string]any{"topic": topic, "key": key, "data": d})
	}
	body, err := json.Marshal(events)
	require.NoError(e, err)
	r, err := http.NewRequestWithContext(e.Context(), http.MethodPost, e.hub.URL+"/publish", bytes.NewReader(body))
	require.NoError(e, err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+e.token)
	answer, err := http.DefaultClient.Do(r)
	require.NoError(e, err)
	defer answer.Body.Close()
	require.Equal(e, http.StatusOK, answer.StatusCode)
}

func (e *examples) prices() {
	tabs := []*tab{e.open("prices"), e.open("prices")}
	for _, p := range tabs {
		p.contains("#phase", "live")
	}
	e.publish("demo.prices", "Ristretto", 12.5)
	for _, p := range tabs {
		p.contains("#prices", "Espresso")
		p.contains("#prices", "12.50")
	}
	pictures(tabs[1], "examples-prices")
	closeTabs(tabs)
}

func (e *examples) chat() {
	var messages []any
	for n := 1; n <= 50; n++ {
		messages = append(messages, map[string]any{"name": "Ada", "text": fmt.Sprint("message ", n)})
	}
	e.publish("demo.chat", "", messages...)
	tabs := []*tab{e.open("chat"), e.open("chat")}
	shown := func(p *tab, from, to int) {
		p.await(fmt.Sprintf("[...document.querySelectorAll('#messages li')].map((li) => li.textContent).join() === Array.from({ length: %d }, (_, n) => 'Ada message ' + (%d + n)).join()", to-from+1, from))
	}
	for _, p := range tabs {
		shown(p, 31, 50)
	}
	eval[any](tabs[0], "document.querySelector('.scroll').scrollTop = 0")
	shown(tabs[0], 11, 50)
	eval[any](tabs[0], "document.querySelector('.scroll').scrollTop = 0")
	shown(tabs[0], 1, 50)
	tabs[0].await("document.querySelector('#older').hidden")
	require.NotZero(e, eval[float64](tabs[0], "document.querySelector('.scroll').scrollTop"), "older messages above do not move the visible messages")

	const markup = `<img src=x onerror="document.title='owned'">`
	tabs[0].write("[name=name]", "Ada")
	tabs[0].write("[name=text]", markup)
	tabs[0].click("#write button")
	for _, p := range tabs {
		p.await("document.querySelector('#messages li:last-child').textContent === 'Ada ' + " + fmt.Sprintf("%q", markup))
	}
	require.NotEqual(e, "owned", eval[string](tabs[1], "document.title"))
	pictures(tabs[1], "examples-chat")
	closeTabs(tabs)
}

func (e *examples) text() {
	model, err := os.ReadFile(examplesDir + "model.js")
	require.NoError(e, err)
	whole := string(regexp.MustCompile("const text = `(.*)`").FindSubmatch(model)[1])
	p := e.open("text")
	p.await("typeof document.querySelector('#ask').onclick === 'function'")
	p.click("#ask")
	p.contains("#answer", "A hub retains")
	pictures(p, "examples-text")
	p.do(chromedp.Reload())
	p.contains("#answer", "A hub retains published")
	other := openTab(e.T, p.ctx, eval[string](p, "location.href"))
	for _, reader := range []*tab{p, other} {
		reader.await("document.querySelector('#answer').textContent.endsWith('ten thousand.')")
		require.Equal(e, whole, eval[string](reader, "document.querySelector('#answer').textContent"))
	}
	p.do(chromedp.Reload())
	p.await("document.querySelector('#answer').textContent === " + fmt.Sprintf("%q", whole))
	closeTabs([]*tab{other, p})
}

func (e *examples) cursors() {
	tabs := []*tab{e.open("cursors"), e.open("cursors")}
	for _, p := range tabs {
		p.await("typeof document.querySelector('#area').onpointermove === 'function'")
		// The page hides a pointer that does not move, so the test records the pointers that
		// appear.
		eval[any](p, `void (globalThis.seen = [], new MutationObserver((changes) => {
			for (const { addedNodes } of changes) for (const node of addedNodes) seen.push(node.textContent + " " + node.style.left)
		}).observe(document.querySelector("#area"), { childList: true }))`)
	}
	// The second tab receives no events before its subscription is open, so the test moves the
	// pointer repeatedly.
	for i := 0; eval[int](tabs[1], "seen.length") == 0; i++ {
		x := eval[float64](tabs[0], "document.querySelector('#area').getBoundingClientRect().x") + 100 + float64(i%10)
		y := eval[float64](tabs[0], "document.querySelector('#area').getBoundingClientRect().y") + 50
		_, err := chromedp.Call(tabs[0].ctx, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: input.DispatchMouseEventTypeMouseMoved, X: x, Y: y})
		require.NoError(e, err)
	}
	require.Regexp(e, `^[0-9a-z]{1,4} \d+(\.\d+)?%$`, eval[string](tabs[1], "seen[0]"))
	require.Zero(e, eval[int](tabs[0], "seen.length"), "a visitor does not see their own pointer a second time")
	pictures(tabs[1], "examples-cursors")
	closeTabs(tabs)
}

func (e *examples) fiveLines() {
	e.publish("demo.news", "", "published before")
	p := e.open("five-lines")
	p.contains("#news", `"published before"`)
	p.click("[data-publish]")
	p.contains("#news", `{"at":`)
	e.publish("demo.news", "", "published after")
	p.contains("#news", `"published after"`)
	pictures(p, "examples-five-lines")
	closeTabs([]*tab{p})
}

// follow clicks the link from the demo page to the examples. The link passes the demo page's token
// to the examples.
func (e *examples) follow(p *tab) {
	eval[any](p, "void fetch('../../session', { method: 'DELETE' }).then(() => (document.title = 'signed out'))")
	p.await("document.title === 'signed out'")
	p.do(chromedp.Navigate(e.hub.URL + "/demo/#token=" + e.token))
	p.await("!document.getElementById('main').hidden")
	p.click("#examples")
	p.await("location.pathname === '/demo/examples/' && location.hash === '' && document.querySelector('[href=\"chat.html\"]') !== null")
	p.click("[href='chat.html']")
	p.await("document.querySelector('#messages')?.innerText.includes('message 50') === true")
	closeTabs([]*tab{p})
}

func closeTabs(tabs []*tab) {
	for _, p := range tabs {
		p.noComplaints()
		p.close()
	}
}

// pictures takes screenshots of a page on a phone and a desktop, in both themes, and checks that
// the page is not wider than the screen.
func pictures(p *tab, name string) {
	p.Helper()
	for _, size := range []struct {
		name          string
		width, height int64
	}{{"phone", 360, 740}, {"desktop", 1280, 900}} {
		p.size(size.width, size.height)
		require.LessOrEqual(p, eval[int64](p, "document.documentElement.scrollWidth"), size.width, "%s on a %s", name, size.name)
		for _, scheme := range []string{"light", "dark"} {
			p.theme(scheme)
			p.shot(name + "-" + size.name + "-" + scheme + ".png")
		}
	}
}
