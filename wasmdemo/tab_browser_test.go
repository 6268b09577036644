package wasmdemo

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// findBrowser returns the path of Chromium, or skips the test.
func findBrowser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("TRIVIUM_REQUIRE_BROWSER") == "1" {
		t.Fatal("Chromium, which TRIVIUM_REQUIRE_BROWSER requires, is not installed")
	}
	t.Skip("Chromium is not installed")
	return ""
}

// unusedFeatures lists the features to disable: those that chromedp disables by default, and the two
// WebUI features, for which Chromium would load pages of its own in each window.
const unusedFeatures = "Translate,BlinkGenPropertyTrees,WebUIOmniboxPopup,WebUIOmniboxAimPopup"

// startBrowser starts a browser that runs until the test ends, and returns a context in which tabs
// can be opened.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(findBrowser(t)), chromedp.NoSandbox, chromedp.Flag("headless", "new"), chromedp.UserDataDir(t.TempDir()),
		chromedp.WSURLReadTimeout(patience), chromedp.Flag("disable-features", unusedFeatures))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, _ = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		within, cancel := context.WithTimeout(ctx, patience) // without a timeout, Cancel would wait forever for a browser that hangs
		defer cancel()
		assert.NoError(t, chromedp.Cancel(within), "closing the browser")
	})
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate("about:blank")))
	return ctx
}

// lifetime is the maximum time for which a tab stays open. It is longer than patience, because a
// scenario has many waits.
const lifetime = 20 * time.Minute

// tab is a tab of the browser.
type tab struct {
	*testing.T
	ctx   context.Context
	close func()
	done  chan struct{} // closed when console is complete

	mu      sync.Mutex
	console []chromedp.ConsoleMessage
}

// openTab opens a tab. By default, the tab has a window of its own, so that it is visible; options
// can change that.
func openTab(t *testing.T, browser context.Context, address string, options ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, cancel := context.WithTimeout(browser, lifetime)
	ctx, _ = chromedp.NewContext(ctx, options...)
	b := &tab{T: t, ctx: ctx, done: make(chan struct{})}
	messages := chromedp.Console(ctx)
	go func() {
		defer close(b.done)
		for message, err := range messages {
			if err != nil {
				return
			}
			b.mu.Lock()
			b.console = append(b.console, message)
			b.mu.Unlock()
		}
	}()
	b.close = sync.OnceFunc(func() {
		b.noFault()
		assert.NoError(t, chromedp.Cancel(ctx), "closing the tab")
		cancel()
		<-b.done
	})
	t.Cleanup(b.close)
	b.size(1280, 1700)
	b.do(chromedp.Navigate(address))
	b.reportRequests(false)
	return b
}

// reportRequests sets whether Chromium reports each request and each message of the page to the
// test. The reports make the test much slower.
func (b *tab) reportRequests(on bool) {
	b.Helper()
	var err error
	if on {
		_, err = chromedp.Call(b.ctx, network.Enable, network.EnableParams{})
	} else {
		_, err = chromedp.Call(b.ctx, network.Disable, cdp.Empty{})
	}
	require.NoError(b, err)
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	require.NoError(b, chromedp.Do(b.ctx, actions...))
}

func (b *tab) size(width, height int64) {
	b.Helper()
	b.do(chromedp.EmulateViewport(width, height))
}

// consoleText returns the messages of the console, one per line.
func (b *tab) consoleText() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var lines strings.Builder
	for _, m := range b.console {
		lines.WriteString(string(m.Type) + " " + m.Text + " " + m.URL + "\n")
	}
	return lines.String()
}

// noFault checks that the WebAssembly binary did not panic, and that no content policy was
// violated.
func (b *tab) noFault() {
	b.Helper()
	console := b.consoleText()
	for _, fault := range []string{"exception ", "Content Security Policy", "panic:", "fatal error:", "goroutine "} {
		assert.NotContains(b, console, fault)
	}
}

// noComplaints checks that the console contains no errors and no warnings.
func (b *tab) noComplaints() {
	b.Helper()
	require.NotRegexp(b, complaints, b.consoleText())
}

var complaints = regexp.MustCompile(`(?m)^(error|warning|exception) .*`)

func eval[T any](b *tab, expression string) T {
	b.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	require.NoError(b, err, expression)
	return value
}

// text returns the visible text of a node.
func (b *tab) text(selector string) string {
	b.Helper()
	text := eval[string](b, "document.querySelector("+strconv.Quote(selector)+").innerText")
	return strings.ReplaceAll(text, "\u00a0", " ")
}

// await waits until a JavaScript expression is true. It ignores errors until the timeout, because
// an expression cannot be evaluated while the tab loads another page.
func (b *tab) await(expression string) {
	b.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		isTrue, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](expression))
		if err == nil && isTrue {
			return
		}
		if b.ctx.Err() != nil || time.Now().After(end) {
			b.shot("failed.png")
			require.NoError(b, err, expression)
			require.FailNow(b, "timeout while waiting for: "+expression, "%s", b.text("body")+b.consoleText())
		}
	}
}

// contains waits until a node contains a string.
func (b *tab) contains(selector, text string) {
	b.Helper()
	b.await("document.querySelector(" + strconv.Quote(selector) + ").innerText.replaceAll('\\u00a0', ' ').includes(" + strconv.Quote(text) + ")")
}

// click waits until a button is enabled, and clicks it with the mouse.
func (b *tab) click(selector string) {
	b.Helper()
	b.await("!document.querySelector(" + strconv.Quote(selector) + ").disabled")
	b.do(chromedp.ScrollIntoView(selector), chromedp.Click(selector))
}

// write replaces the text of a field.
func (b *tab) write(selector, text string) {
	b.Helper()
	b.do(chromedp.ScrollIntoView(selector), chromedp.Focus(selector))
	eval[any](b, "document.querySelector("+strconv.Quote(selector)+").select()")
	b.do(chromedp.SendKeys(selector, text))
}

// choose selects an option of a list.
func (b *tab) choose(selector, value string) {
	b.Helper()
	q := strconv.Quote(selector)
	b.await("![...document.querySelector(" + q + ").options].find((o) => o.value === " + strconv.Quote(value) + ").disabled")
	eval[any](b, "(() => { const s = document.querySelector("+q+"); s.value = "+strconv.Quote(value)+"; s.dispatchEvent(new Event('change', {bubbles: true})); })()")
}

// shot writes a screenshot into the directory TRIVIUM_ARTIFACTS.
func (b *tab) shot(name string) {
	b.Helper()
	directory := os.Getenv("TRIVIUM_ARTIFACTS")
	if directory == "" {
		return
	}
	picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	require.NoError(b, err)
	require.NoError(b, os.MkdirAll(directory, 0o755))
	require.NoError(b, os.WriteFile(filepath.Join(directory, name), picture, 0o644))
}

func (b *tab) theme(scheme string) {
	b.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	require.NoError(b, err)
}
