// Package transports serves a hub over HTTP: server-sent events, WebSocket, long-poll and publishing.
//
//	h, err := hub.New(hub.Config{})                 // in memory
//	api, err := transports.New(transports.Config{Hub: h}) // no authentication, same origin only
//	mux.Handle("/realtime/", http.StripPrefix("/realtime", api))
//
// The routes are GET /sse, GET /ws, GET /poll, POST /publish, POST /publish/{topic}, POST /ticket, and
// POST and DELETE /session; docs/protocol.md describes them. A router that mounts the API under a
// prefix must strip the prefix.
//
// The API works on the connections of any http.Server. With [API.Listener], it detects sooner that a
// client has stopped reading. ReadTimeout and WriteTimeout of the server should be zero, because
// streams stay open for a long time and the API sets deadlines itself. To shut down, a program calls
// [API.Drain], then http.Server.Shutdown, [API.Close] and hub.Hub.Close.
//
// On a server other than http.Server, idle subscribers need no goroutine if the net.Conn that
// ResponseWriter.Hijack returns has the method TryWrite(p []byte) (int, error). TryWrite must write as
// many bytes as possible without blocking.
//
// The API starts goroutines only for its connections and for the middleware that it creates; Close
// waits for them.
package transports
