// Package web contains the common work of the HTTP transports before an answer begins: it parses
// query parameters, authorizes subscriptions, and writes and counts refusals. It starts no
// goroutine.
package web
