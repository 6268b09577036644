//go:build js

// Command app is the program of the demo page. It shows one hub's events as they come by three
// roads side by side, and whether they are the same; static/index.html has what it fills.
//
// The main goroutine alone touches the page: it does what callbacks have queued, and draws what has
// changed, a few times a second in an animation frame. Each column's road and the load have a
// goroutine; they and the page share a board, which has its own mutex. What takes long besides, as to
// publish, has one of its own and queues what came of it. The program has no end but that of the page,
// which ends all of them.
package main

import (
	"context"
	"strings"
	"sync"

	"github.com/trivium-hub/trivium/transports/client"
	"github.com/trivium-hub/trivium/wasmdemo/app/board"
)

func main() {
	p := newPage(context.Background())
	for _, column := range p.columns {
		p.running.Go(func() { column.road.Run(p.ctx) })
	}
	p.running.Go(func() { p.load.Run(p.ctx) })
	p.run()
}

// page is the whole of it. Its fields are the main goroutine's but for access and what has a mutex
// of its own.
type page struct {
	ctx     context.Context
	queue   queue
	access  access
	board   *board.Board
	hub     *board.Hub
	load    *board.Load
	columns [board.Columns]*column

	proof     *proofView
	publish   *publishForm
	knob      *loadKnob
	snippets  *snippetView
	announcer *announcer

	trouble   *property
	noTrouble *flag
	hindrance string // what keeps the page from beginning, "" if nothing does
	why       *property
	started   bool               // the columns have a common start
	stop      context.CancelFunc // of the newest beginning
	running   sync.WaitGroup     // the goroutines that the page has started; they end with it
}

func newPage(ctx context.Context) *page {
	p := &page{ctx: ctx, queue: make(queue, 256), board: &board.Board{}, stop: func() {}}
	platform := client.NewPlatform()
	p.hub = &board.Hub{Platform: platform, URL: hubURL(), Token: p.access.get}
	p.load = board.NewLoad(p.hub, p.board, clock)
	for c, use := range []client.Transport{client.WebSocket, client.SSE, client.LongPoll} {
		p.columns[c] = newColumn(p, c, board.NewRoad(board.RoadConfig{
			Column: c, Board: p.board, Platform: platform, URL: p.hub.URL, Token: p.access.get, Clock: clock, Use: use,
		}))
	}
	p.proof = newProofView()
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

// hubURL is where the hub stands: the page is at demo/ below it.
func hubURL() string {
	location := window.Get("location")
	path, _, _ := strings.Cut(location.Get("pathname").String(), "/demo")
	return location.Get("origin").String() + path
}

// access is the token, which is kept nowhere else.
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
