// Package web contains what all HTTP transports do before they answer a request: it parses query
// parameters, authorizes subscriptions, and writes and counts problems, the answers that refuse a
// request. It starts no goroutine.
package web
