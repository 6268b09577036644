// Package server assembles a hub from its settings: the engine, the listeners with their routes, limits and
// certificates, access control, the UDP source, the metrics and the demo page.
//
// New opens everything and starts to serve. ServeUntil blocks until a signal or a failure. Shutdown drains the
// subscribers and returns when all that New has started has ended.
//
// A Server owns a goroutine for each of its listeners, for the UDP source, the watched files, the access control and the
// build of the demo page; Shutdown waits for them. New returns an error only after it has ended those that it had started.
package server
