//go:build js

package main

import (
	"context"
	"errors"
	"syscall/js"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/client"
	"github.com/trivium-hub/trivium/wasmdemo/app/internal/board"
)

const (
	// drawEvery is the minimum time between two drawings. After each drawing, the page also waits
	// for drawShare times the duration of the drawing, so that its only thread is free most of the
	// time.
	drawEvery = 100 * time.Millisecond
	drawShare = 4

	startTimeout = 15 * time.Second // timeout of the hub's answer
	startRetry   = 2 * time.Second
)

// listen connects the page's buttons and events.
func (p *page) listen() {
	p.queue.on(document, "visibilitychange", p.visibility)
	p.queue.on(window, "online", p.drawTrouble)
	p.queue.on(window, "offline", p.drawTrouble)
	p.queue.on(byID("all-on"), "click", p.connectAll)
	p.queue.on(byID("all-off"), "click", func() {
		for _, c := range p.columns {
			c.conn.Disconnect()
		}
	})
	p.queue.on(byID("start-over"), "click", p.startOver)
	p.queue.on(byID("break-it"), "click", func() { p.cut.Start(time.Now()) })
	p.queue.on(byID("one-go"), "click", p.knob.publishOne)
	p.queue.on(byID("access-form"), "submit", func() {
		field := byID("access-token")
		p.useToken(field.Get("value").String())
		field.Set("value", "")
	})
	p.passTokenOn()
	window.Get("trivium").Set("onToken", js.FuncOf(func(js.Value, []js.Value) any {
		p.queue.add(p.takeHandover)
		return nil
	}))
}

// passTokenOn adds the token to the link to the examples when the link is used. The example pages
// remove the token from their address, as this page does.
func (p *page) passTokenOn() {
	link := byID("examples")
	use := js.FuncOf(func(js.Value, []js.Value) any {
		if token := p.access.get(); token != "" {
			link.Set("href", "examples/#token="+token)
		}
		return nil
	})
	for _, event := range []string{"click", "auxclick"} {
		link.Call("addEventListener", event, use)
	}
}

// run draws the page and runs queued work until the page closes.
func (p *page) run() {
	p.visibility()
	byID("main").Set("hidden", false)
	p.snippets.draw()
	if token := p.handover(); token != "" {
		p.useToken(token)
	} else {
		p.startOver()
	}

	frames := make(chan struct{}, 1) // capacity 1: at most one frame is requested at a time
	frame := js.FuncOf(func(js.Value, []js.Value) any {
		frames <- struct{}{}
		return nil
	})
	next := time.NewTimer(0)
	for {
		select {
		case do := <-p.queue:
			do()
		case <-next.C:
			window.Call("requestAnimationFrame", frame)
		case <-frames:
			now := time.Now()
			p.draw(now)
			next.Reset(max(drawEvery, drawShare*time.Since(now)))
		}
	}
}

// handover returns the token that page.js has taken from the page's address.
func (p *page) handover() string {
	token := window.Get("trivium").Get("token").String()
	window.Get("trivium").Set("token", "")
	return token
}

func (p *page) takeHandover() {
	if token := p.handover(); token != "" {
		p.useToken(token)
	}
}

// useToken continues with another token.
func (p *page) useToken(token string) {
	if !client.IsToken(token) {
		p.askForToken("This is not a token: a token consists of letters, digits and - . _ ~")
		return
	}
	p.access.set(token)
	byID("access").Set("hidden", true)
	p.why.set("")
	p.snippets.draw()
	if !p.started {
		p.startOver()
		return
	}
	p.connectAll()
}

// askForToken shows the token form with a reason.
func (p *page) askForToken(why string) {
	p.why.set(why)
	section := byID("access")
	if section.Get("hidden").Bool() {
		section.Set("hidden", false)
		if document.Get("activeElement").Equal(document.Get("body")) { // no field has the focus
			byID("access-token").Call("focus")
		}
	}
}

// startOver requests the hub's newest position, and then connects all columns at that position, so
// that no earlier events are compared.
func (p *page) startOver() {
	p.stop()
	p.cut.Stop()
	p.started = false
	var ctx context.Context
	ctx, p.stop = context.WithCancel(p.ctx)
	p.running.Go(func() { p.starting(ctx) })
}

// do queues a function for the main goroutine, which does not call the function if ctx has ended by
// then.
func (p *page) do(ctx context.Context, what func()) {
	p.queue <- func() {
		if ctx.Err() == nil {
			what()
		}
	}
}

func (p *page) starting(ctx context.Context) {
	for _, c := range p.columns {
		c.conn.Rest(ctx)
	}
	for ctx.Err() == nil {
		try, cancel := context.WithTimeout(ctx, startTimeout)
		at, err := p.hub.Newest(try)
		cancel()
		if err == nil {
			p.do(ctx, func() { p.start(at) })
			return
		}
		again := !refused(err)
		p.do(ctx, func() { p.couldNotStart(err, again) })
		if !again {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(startRetry):
		}
	}
}

// start connects all columns at a cursor.
func (p *page) start(at hub.Cursor) {
	p.setHindrance("")
	p.started = true
	p.board.Start(at)
	for _, c := range p.columns {
		c.conn.Begin(at.String())
	}
	if !p.published {
		p.published = true
		p.knob.start()
	}
}

// refused reports whether the hub rejected the token.
func refused(err error) bool {
	problem, ok := errors.AsType[*client.Problem](err)
	return ok && (problem.Status == 401 || problem.Status == 403)
}

func (p *page) couldNotStart(err error, again bool) {
	if !again {
		p.setHindrance("")
		p.askForToken(board.Reason(err) + ".")
		return
	}
	p.setHindrance("The hub cannot be reached. The page tries again every two seconds. The last error: " + board.Reason(err) + ".")
}

// setHindrance shows the reason why the page cannot start; "" hides it.
func (p *page) setHindrance(hindrance string) {
	p.hindrance = hindrance
	p.drawTrouble()
}

// drawTrouble shows one problem. If the browser is offline, it shows that instead of any other problem,
// because the errors of the connections do not name this cause.
func (p *page) drawTrouble() {
	trouble := p.hindrance
	if !window.Get("navigator").Get("onLine").Bool() {
		trouble = "This browser is offline. When it is online again, the columns resume at their cursors."
	}
	p.trouble.set(trouble)
	p.noTrouble.set(trouble == "")
}

func (p *page) connectAll() {
	if !p.started {
		p.startOver()
		return
	}
	for _, c := range p.columns {
		c.conn.Connect()
	}
}

// visibility releases connections while the tab is hidden, because other tabs may need them.
func (p *page) visibility() {
	hidden := document.Get("hidden").Bool()
	for _, c := range p.columns {
		c.conn.Hide(hidden)
	}
	p.load.Set(func(w *board.LoadWant) { w.Hidden = hidden })
	p.draw(time.Now()) // a hidden tab gets no animation frames
}

// draw shows what has changed since the last drawing.
func (p *page) draw(now time.Time) {
	cut := p.cut.Step(now)
	for _, c := range p.columns {
		c.conn.SyncPosition()
	}
	report := p.board.Report(now)
	held := 0
	var figures [board.Columns]board.Figures
	var status [board.Columns]board.ConnectionStatus
	for i, c := range p.columns {
		figures[i], status[i] = p.board.Figures(i, now), c.conn.Status(now)
		if board.Held(c.use) {
			held++
		}
	}
	p.proof.draw(p, report.Verdict(status, p.hindrance != ""))
	p.breaking.draw(cut)
	scale := board.ScaleOf(&figures)
	for i, c := range p.columns {
		shown := status[i].Compared(report.Columns[i], report.Lagging[i])
		c.draw(now, shown, report.Columns[i].Got, &figures[i], scale, held)
		p.announcer.column(i, status[i])
		c.askForToken(status[i].Err)
	}
	p.knob.draw(now)
	p.announcer.draw(now)
}
