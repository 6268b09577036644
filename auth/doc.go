// Package auth authenticates and authorizes requests (docs/protocol.md#authentication): it checks
// the host name, the origin and the token of each request.
//
//	tokens := auth.NewTokens(auth.Limits{})
//	err := tokens.Load(file) // hashes of tokens in YAML; see AppendToken
//	guard := auth.New(auth.Config{Verifier: tokens})
//	api, err := transports.New(transports.Config{Hub: h, Auth: guard})
//	go guard.Run(ctx)
//
// A Middleware checks three things before a request has any effect: the Host, to prevent DNS
// rebinding (HostPolicy); the Origin (Origins); and the token, which is sent as Authorization:
// Bearer or Basic, in the query, in the WebSocket subprotocol, or in the cookie of
// [Middleware.Session]. An accepted request has an [Access] in its context, which holds the rights.
// The error handler of the route answers a refused request. The WebSocket route reports a refusal
// in a close code, because a page cannot see the HTTP status of a refused handshake.
//
// Verifiers are Tokens (a file of hashes), JWT, and Chain for both. Their configuration may change
// at any time. Call [Middleware.Recheck] after a change: it verifies every token in use again and
// notifies the connections.
//
// Behind a reverse proxy, Proxies determine the client's address and whether it uses TLS.
//
// No error of this package contains any part of a token. The package starts no goroutine:
// Middleware.Run ends expired tokens and JWT.Run fetches the keys of a JWKS URL. The caller runs
// both in goroutines of its own; they return when their contexts end. Everything else is safe for
// concurrent use.
package auth

// Structure
//
// A Middleware checks each request in this order:
//
//  1. The Host.
//  2. The Origin. A page of the hub's own origin, or of one that Origins allows, continues. From
//     here on every answer, including errors, has the CORS headers with which the page can read it.
//     A preflight, which has no token, is answered here. Any other page is refused, with or without
//     a token. A request without Origin continues: it was sent by a program, or by a browser that
//     does not send Origin for this kind of request.
//  3. The place of the token. A token in Authorization: Bearer, in the query or in the WebSocket
//     subprotocol takes precedence over the cookie of Middleware.Session. The cookie is accepted
//     only if the request was sent by a page that may use it. The password of Authorization: Basic
//     is accepted under the same conditions, if there is no other token.
//  4. The token itself: its syntax, then the result of the Verifier.
//
// The error handler receives the reason of a refusal, which names the Host, the Origin or the token
// as the cause.
//
// An Access is valid as long as its token. All requests and connections with one token share a
// token session, which holds the token's expiry, its current rights and its usage of the limits.
// Connections and waiting requests are notified when the rights or limits change, or the token ends.
// A periodic sweep over the sessions, not over the connections, finds expired tokens. Lock order:
// the lock of a connection, then the lock of the session table. Neither is held while connections
// are notified.
//
// The host of the hub's own origin is always taken from the Host header, so a proxy must not change
// that header.
