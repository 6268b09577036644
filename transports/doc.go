// Package transports serves a hub over HTTP: server-sent events, WebSocket, long-poll and publishing.
//
//	h, err := hub.New(hub.Config{})                 // in memory
//	api, err := transports.New(transports.Config{Hub: h}) // no authentication, same origin only
//	mux.Handle("/realtime/", http.StripPrefix("/realtime", api))
//
// The routes are GET /sse, GET /ws, GET /poll, POST /publish, POST /publish/{topic}, POST /ticket, and POST and DELETE
// /session; docs/protocol.md describes them. A router that mounts the API under a prefix must strip the prefix.
//
// The API works on the connections of any http.Server. A server that uses [API.Listener] detects sooner that a client
// has stopped reading. Its ReadTimeout and WriteTimeout should be zero: streams stay open for long, and the API sets
// its own deadlines. To shut down, a program calls [API.Drain], then http.Server.Shutdown, [API.Close] and
// hub.Hub.Close.
//
// If a server is not an http.Server, the net.Conn that its ResponseWriter returns from Hijack may have the method
// TryWrite(p []byte) (int, error), which writes as many bytes as possible without blocking. Idle subscribers on such
// connections need no goroutine.
//
// The API's goroutines are those of its connections; Close waits for them.
package transports
