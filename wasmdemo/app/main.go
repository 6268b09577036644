//go:build js

// Command app is the WebAssembly binary of the demo page. It publishes sample events, shows the
// hub's events in three columns, each with a different transport, and compares the columns.
// static/index.html contains the HTML elements that it fills in.
//
// Only the main goroutine accesses the page: it runs the functions that callbacks have queued, and
// draws all changes together in an animation frame, a few times per second. Each column's
// connection has a goroutine, and so has the load, which publishes the sample events. These
// goroutines and the page share a board, which has its own mutex. Other slow work, such as
// publishing an event of the form, runs in a goroutine that queues its result. All goroutines end
// with the page.
package main

import (
	"context"
	"strings"
	"sync"

	"github.com/trivium-hub/trivium/transports/client"
	"github.com/trivium-hub/trivium/wasmdemo/app/internal/board"
)

func main() {
	p := newPage(context.Background())
	for _, column := range p.columns {
		p.running.Go(func() { column.conn.Run(p.ctx) })
	}
	p.running.Go(func() { p.load.Run(p.ctx) })
	p.run()
}

// page is the state of the whole page. The main goroutine owns its fields, except access and the
// fields with their own mutex.
type page struct {
	ctx     context.Context
	queue   queue
	access  access
	board   *board.Board
	hub     *board.Hub
	load    *board.Load
	columns [board.Columns]*column
	cut     *board.Break

	proof     *proofView
	breaking  *breakView
	publish   *publishForm
	knob      *loadKnob
	snippets  *snippetView
	announcer *announcer

	trouble   *property
	noTrouble *flag
	hindrance string // the reason why the page cannot start; "" if it can
	why       *property
	started   bool               // whether the columns have started at a common position
	published bool               // whether the load was ever started
	stop      context.CancelFunc // cancels the latest call of starting
	running   sync.WaitGroup     // the goroutines that the page has started; they end with it
}

func newPage(ctx context.Context) *page {
	p := &page{ctx: ctx, queue: make(queue, 256), board: &board.Board{}, stop: func() {}}
	platform := client.NewPlatform()
	p.hub = &board.Hub{Platform: platform, URL: hubURL(), Token: p.access.get}
	p.load = board.NewLoad(p.hub, p.board, clock)
	conns := new([board.Columns]*board.Connection)
	for c, use := range []client.Transport{client.WebSocket, client.SSE, client.LongPoll} {
		conns[c] = board.NewConnection(board.ConnectionConfig{
			Column: c, Board: p.board, Platform: platform, URL: p.hub.URL, Token: p.access.get, Clock: clock, Use: use,
		})
		p.columns[c] = newColumn(p, c, conns[c])
	}
	p.cut = board.NewBreak(p.board, conns)
	p.proof = newProofView()
	p.breaking = newBreakView(p)
	p.publish = newPublishForm(p)
	p.knob = newLoadKnob(p)
	p.snippets = newSnippetView(p)
	p.announcer = &announcer{text: textOf(byID("announce"))}
	p.trouble, p.why = textOf(byID("trouble-text")), textOf(byID("access-why"))
	p.noTrouble = &flag{node: byID("trouble"), name: "hidden"}
	textOf(byID("origin")).set(p.hub.URL)
	p.listen()
	return p
}

// hubURL returns the URL of the hub, which is the parent directory of the page's URL.
func hubURL() string {
	location := window.Get("location")
	path, _, _ := strings.Cut(location.Get("pathname").String(), "/demo")
	return location.Get("origin").String() + path
}

// access holds the token, in memory only.
type access struct {
	mu    sync.Mutex
	token string
}

func (a *access) get() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.token
}

func (a *access) set(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.token = strings.TrimSpace(token)
}
