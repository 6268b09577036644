// Package transports serves a hub over HTTP: server-sent events, WebSocket, long-poll and publishing.
//
//	h, err := hub.New(hub.Config{})                 // in memory
//	api, err := transports.New(transports.Config{Hub: h}) // no authentication, same origin only
//	mux.Handle("/realtime/", http.StripPrefix("/realtime", api))
//
// The routes are GET /sse, GET /ws, GET /poll, POST /publish, POST /publish/{topic}, POST /ticket, and POST and DELETE
// /session; docs/protocol.md describes them. A router that mounts the API under a prefix has to strip it.
//
// The API works on the connections of any http.Server. A server that listens by [API.Listener] notices sooner
// that a client has stopped reading. Its ReadTimeout and WriteTimeout should be zero: streams last, and the API
// sets deadlines of its own. A program that ends calls [API.Drain], then http.Server.Shutdown, [API.Close] and
// hub.Hub.Close.
//
// If the http.ResponseWriter of a program's own server hands over a net.Conn that has a method TryWrite(p []byte) (int,
// error), which accepts what it can without blocking, idle subscribers on such connections need no goroutine.
//
// The API's goroutines are those of its connections; Close waits for them.
package transports
