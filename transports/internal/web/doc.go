// Package web has everything that the HTTP transports do before their answer begins: it parses
// query parameters, authorizes subscriptions, and writes and counts refusals. It starts no
// goroutine.
package web
