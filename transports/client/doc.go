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
// A Client is one subscription that outlives its connections. The program gets each event once and in the hub's
// order, over any transport and across any number of reconnects. Lost events are reported by an Event with a
// Gap. All transports share one cursor, so switching between them neither loses nor repeats events.
//
// Contexts: the context of Connect covers the client's whole life; that of Events, States, SetTopics and Publish
// covers the call alone.
//
// Goroutines. The goroutine run (type loop) owns the connection state; other goroutines send to it on channels.
// Each connection (type conn) has one goroutine, the pump, which opens the stream and forwards its messages one
// at a time. run keeps at most one undelivered event and reads no further until the program takes it. A slow
// program therefore slows the hub down through its socket, costs bounded memory, and catches up from the hub's
// log. Each probe for a better transport and each call of the TokenSource has a goroutine of its own. run stops
// a connection and waits for its pump before it opens another. At the end it waits for every goroutine that it
// started, and Close waits for run.
//
// Everything that differs between systems is behind Platform. Compiled for a page, the package does not import
// net/http.
package client
