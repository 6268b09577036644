// Package client reads events from a hub, in a Go program or in a browser page (js/wasm).
//
//	c, err := client.Connect(ctx, client.Config{
//		URL: "https://hub.example.com", Token: client.StaticToken(token), Topics: []string{"orders.>"},
//	})
//	defer c.Close()
//	for e, err := range c.Events(ctx) {
//		…
//	}
//
// A Client is one subscription that continues over many connections. The program receives each event once and in the
// hub's order, over any transport and after any number of reconnects. Lost events are reported by an Event with a Gap.
// All transports share one cursor, so switching between them neither loses nor repeats events.
//
// Contexts: the context of Connect applies to the whole life of the client. The contexts of Events, States, SetTopics
// and Publish apply only to the call.
//
// Goroutines. The goroutine run (type loop) owns the connection state. Other goroutines communicate
// with it by channels. Each connection (type conn) has one goroutine, the pump, which opens the
// stream and forwards its messages one at a time. run holds at most one undelivered event and reads
// no further until the program has read it, except while it waits for the answer to a command. The
// socket of a slow program therefore fills up. The program's memory stays bounded, and it later
// receives the missed events from the hub's log. Each probe for a better transport and each call of
// the TokenSource has its own goroutine. run stops a connection and waits for its pump before it
// opens another. At the end it waits for every goroutine that it started, and Close waits for run.
//
// The interface Platform contains everything that differs between a native program and a browser
// page. When the package is compiled for a page, it does not import net/http.
package client
