package wasmdemo

import (
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

// page is the demo page in a tab.
type page struct {
	*tab
}

// part returns the selector of a part of a column. Columns are counted from 1.
func part(column int, name string) string {
	return ".road:nth-child(" + strconv.Itoa(column) + ") [data-part=" + name + "]"
}

// mode waits until a column has the given mode.
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

// identical checks that the page has found no lost, doubled or reordered events.
func (p *page) identical() {
	p.Helper()
	require.NotContains(p, p.text("#proof-headline"), "Not the same", p.text("#proof"))
	require.Equal(p, "lost 0 · doubled 0 · out of order 0", p.text("#proof-counts"))
}

// level waits until the banner has the given level: idle, good, warn or bad.
func (p *page) level(level string) {
	p.Helper()
	p.await("document.getElementById('proof').dataset.state === '" + level + "'")
}

// flows waits until the given number of further events has been compared, and checks that no fault
// was found.
func (p *page) flows(more int) {
	p.Helper()
	p.reaches(p.compared() + more)
}

// compared is a JavaScript expression for the number of compared events.
const compared = "+(document.getElementById('proof').innerText.match(/so far: ([\\d,]+)/)?.[1] ?? " +
	"document.getElementById('proof').innerText.match(/([\\d,]+) compared/)?.[1] ?? '0').replaceAll(',', '')"

// reaches waits until the given total number of events has been compared, and checks that no fault
// was found.
func (p *page) reaches(events int) {
	p.Helper()
	p.await(compared + " >= " + strconv.Itoa(events))
	p.identical()
}

// settled waits until all columns have received every event and the banner is green. The page must
// not be publishing.
func (p *page) settled() {
	p.Helper()
	p.await("new Set([..." + modes + ", document.getElementById('proof').dataset.state]).size === 2")
	p.level("good")
	p.identical()
}

// modes is a JavaScript expression for the modes of the columns.
const modes = "[...document.querySelectorAll('.road')].map((road) => road.dataset.mode)"

func (p *page) compared() int {
	p.Helper()
	return eval[int](p.tab, compared)
}

// load makes the page publish events at a rate.
func (p *page) load(rate int) {
	p.Helper()
	p.write("#load-rate", strconv.Itoa(rate))
	if p.text("#load-go") == "Start publishing" {
		p.click("#load-go")
	}
	p.contains("#load-go", "Stop publishing")
}

// unload makes the page stop publishing.
func (p *page) unload() {
	p.Helper()
	if p.text("#load-go") == "Stop publishing" {
		p.click("#load-go")
	}
	p.contains("#load-go", "Start publishing")
}

// record starts to record every state of the banner and every mode of the columns, even if the page
// shows it only briefly.
func (p *page) record() {
	p.Helper()
	eval[any](p.tab, `void (() => {
		window.recorded = [];
		const note = (list) => list.forEach((m) => recorded.push(m.target.dataset.state ?? m.target.dataset.mode));
		const observer = new MutationObserver(note);
		const options = { attributes: true, attributeFilter: ["data-state", "data-mode"] };
		document.querySelectorAll("#proof, .road").forEach((node) => observer.observe(node, options));
	})()`)
}

func (p *page) recorded() []string {
	p.Helper()
	return strings.Fields(eval[string](p.tab, "recorded.join(' ')"))
}

// nothingGreen checks that no visible element has a green computed color.
func (p *page) nothingGreen() {
	p.Helper()
	require.Empty(p, eval[string](p.tab, `[...document.querySelectorAll("body *")].filter((e) => e.getClientRects().length).flatMap((e) => {
		const style = getComputedStyle(e);
		return ["color", "backgroundColor", "borderTopColor"].filter((name) => {
			const [r, g, b, alpha = 1] = style[name].match(/[\d.]+/g).map(Number);
			return alpha > 0 && g - Math.max(r, b) > 5;
		}).map((name) => e.tagName + "." + e.className + " " + name + " " + style[name]);
	}).join("\n")`))
}

func (p *page) artifacts() bool { return os.Getenv("TRIVIUM_ARTIFACTS") != "" }

// pictures takes screenshots of the page in the light and dark themes and on a phone, if
// TRIVIUM_ARTIFACTS is set.
func (p *page) pictures(name string) {
	p.Helper()
	if !p.artifacts() {
		return
	}
	eval[any](p.tab, "scrollTo(0, 0)")
	p.size(1280, 1100)
	for _, theme := range []string{"dark", "light"} {
		p.theme(theme)
		time.Sleep(200 * time.Millisecond) // waits until the page is drawn
		p.shot(name + "-" + theme + ".png")
	}
	p.size(360, 740)
	time.Sleep(200 * time.Millisecond)
	p.shot(name + "-phone.png")
	p.size(1280, 1700)
}
