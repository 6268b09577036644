package bench

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
)

// handler is the floor for long-poll: a plain net/http handler that waits for the next event and
// returns it. It has no topic filters, access rights or limits. An answer contains all events that
// the client has not received yet, so that no event is lost between two polls.
type handler struct {
	mu     sync.Mutex
	events [][]byte // the newest envelopes; events[0] is the envelope of event number first
	first  int
	more   chan struct{} // closed when there is another event
}

// handlerKeeps is the maximum number of events that the handler stores for clients that have not received them.
const handlerKeeps = 4096

// runHandler is the main function of the child process handler. It runs until it is killed.
func runHandler(stderr io.Writer) error {
	h := &handler{more: make(chan struct{})}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := announce(stderr, listener.Addr().String(), udp.LocalAddr().String()); err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() { failed <- http.Serve(listener, h) }()
	go func() { failed <- h.receive(udp) }()
	return <-failed
}

func (h *handler) receive(udp net.PacketConn) error {
	datagram := make([]byte, 64<<10)
	for number := 1; ; number++ {
		n, _, err := udp.ReadFrom(datagram)
		if err != nil {
			return err
		}
		event := fmt.Appendf(nil, `{"id":"00000000-%d",%s`, number, datagram[1:n])
		h.mu.Lock()
		if h.events = append(h.events, event); len(h.events) > handlerKeeps {
			h.events, h.first = h.events[1:], h.first+1
		}
		more := h.more
		h.more = make(chan struct{})
		h.mu.Unlock()
		close(more)
	}
}

// ServeHTTP answers a poll. The parameter cursor is the number of the first event that the client
// has not received. Without it, the answer begins with the next event.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	cursor, err := strconv.Atoi(query.Get("cursor"))
	h.mu.Lock()
	if err != nil {
		cursor = h.first + len(h.events)
	}
	for query.Get("wait") != "0" && cursor == h.first+len(h.events) {
		more := h.more
		h.mu.Unlock()
		select {
		case <-more:
		case <-r.Context().Done():
			return
		}
		h.mu.Lock()
	}
	events := h.events[max(cursor-h.first, 0):]
	cursor = h.first + len(h.events)
	h.mu.Unlock()
	body := fmt.Appendf(nil, `{"cursor":"%d","events":[`, cursor)
	for i, event := range events {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, event...)
	}
	body = append(body, "]}"...)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // fails if the subscriber has closed the connection
}
