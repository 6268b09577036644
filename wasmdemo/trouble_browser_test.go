package wasmdemo

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// TestPageInTrouble checks the page without a token, without a network, without a hub, and after
// its token was revoked.
func TestPageInTrouble(t *testing.T) {
	if testing.Short() {
		t.Skip("tests with a browser take a long time")
	}
	t.Parallel()
	browser := startBrowser(t)
	hub := startHub(t)
	p := &page{tab: openTab(t, browser, hub.URL+"/demo/#token=%E2%82%AC")}
	p.asked(hub)
	p.disconnected()
	p.restarted(hub)
	p.ended(hub)
}

// asked checks that a page without a token asks the user for one. It also checks that the page
// explains why a token is invalid, even if the token contains characters that are not allowed in a
// header.
func (p *page) asked(hub *realHub) {
	p.contains("#access-why", "This is not a token")
	p.do(chromedp.Navigate("about:blank"), chromedp.Navigate(hub.URL+"/demo/"))
	p.await("document.getElementById('access')?.hidden === false")
	require.Contains(p, p.text("#access-why"), "401 Token missing")
	p.token("a b")
	p.contains("#access-why", "This is not a token")
	p.token("no.such.token")
	p.contains("#access-why", "401 Token refused")
	p.token(hub.token("typed"))
	p.allLive()
	p.load(100)
	p.flows(20)
}

// token enters a token into the field.
func (p *page) token(token string) {
	p.Helper()
	p.write("#access-token", token)
	p.do(chromedp.SendKeys("#access-token", "\r"))
}

func (p *page) disconnected() {
	p.offline(true)
	p.await("document.getElementById('load-trouble').innerText !== ''")
	p.click(part(2, "cut"))
	p.click(part(3, "cut"))
	p.mode(2, "waiting")
	p.mode(3, "waiting")
	p.await(`/^Waiting [\d.]+ s: ./.test(document.querySelector("` + part(2, "state") + `").innerText.replaceAll("\u00a0", " "))`)
	p.contains("#trouble", "This browser is offline.")
	p.level("warn")
	p.identical()
	p.offline(false)
	p.await("document.getElementById('trouble').hidden")
	p.allLive()
	p.flows(20)
}

// restarted kills the hub, checks what the page shows, and starts the hub again.
func (p *page) restarted(hub *realHub) {
	p.choose(part(2, "use"), "eventsource")
	p.allLive()
	p.flows(20)
	hub.kill()
	p.await(modes + ".every((mode) => ['waiting', 'connecting'].includes(mode))")
	p.level("bad")
	p.contains("#proof-headline", "The hub does not answer.")
	p.identical()
	p.nothingGreen()
	p.pictures("hub-dead")
	hub.start(strings.TrimPrefix(hub.URL, "http://"))
	p.allLive()
	p.contains("#proof-detail", "column 3 received 1 gap")
	p.flows(20)
}

func (p *page) ended(hub *realHub) {
	hub.revoke()
	// Each client tries its token several times. The waits between the attempts would take a
	// minute; a click on Cut ends a wait.
	for column := 1; column <= 3; column++ {
		const cutWaiting = "[...document.querySelectorAll('.road[data-mode=waiting] [data-part=cut]')].forEach((cut) => cut.click())"
		p.await(cutWaiting + " ?? document.querySelector('" + part(column, "state") + "').innerText.replaceAll('\\u00a0', ' ').includes('Ended: 401')")
	}
	require.False(p, eval[bool](p.tab, "document.getElementById('access').hidden"))
	p.contains("#access-why", "was ended by the hub: 401 Token ")
	p.level("bad")
	p.nothingGreen()
	p.contains("#load-trouble", "401")
	p.token(hub.token("fresh"))
	p.allLive()
	p.load(100)
	p.flows(20)
	p.unload()
	p.identical()
}
