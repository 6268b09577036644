// Package server assembles a hub from its settings: the engine, the listeners with their routes, limits and
// certificates, access control, the UDP source, the metrics and the demo page.
//
// New opens the engine and the listeners and starts to serve. ServeUntil blocks until a signal or a failure. Shutdown
// disconnects the subscribers, and returns after all goroutines that New has started have ended.
//
// A Server has one goroutine for each of its listeners, and one each for the UDP source, the watched files, the access
// control and the build of the demo page. Shutdown waits for them. If New fails, it waits until the goroutines that it
// has started have ended before it returns the error.
package server
