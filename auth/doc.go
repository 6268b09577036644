// Package auth authenticates and authorizes requests (docs/protocol.md#authentication): it checks
// the host names by which the hub is reached, the pages that send requests, and the token of a
// request.
//
// A [Middleware] checks each request before the request has any effect, in this order:
//
//  1. The Host, against DNS rebinding ([HostPolicy]).
//  2. The Origin. A page of the hub's own origin, or of one that [Origins] allows, continues. From here
//     on every answer, errors included, has the CORS headers with which the page can read it. A
//     preflight, which has no token, is answered here. Any other page is refused, with or without a
//     token. A request without Origin continues: it comes from a program, or from a browser that does
//     not send Origin for this kind of request.
//  3. The place of the token. A token in Authorization: Bearer, in the query or in the WebSocket
//     subprotocol overrides the cookie of [Middleware.Session]. The cookie counts only if the request
//     comes from a page that may use it. The password of Authorization: Basic counts like the cookie,
//     if there is no other token.
//  4. The token itself: its syntax, then what the [Verifier] knows about it.
//
// An accepted request has an [Access] in its context. A refused one is passed, with the reason, to
// the route's error handler, since a browser cannot see the HTTP status of a refused WebSocket. The
// reason names Host, Origin or token as the cause. The routes themselves check the rights.
//
// Verifiers are [Tokens] (a file of hashes), [JWT], and [Chain] for both. Their configuration may
// change at any time; [Middleware.Recheck] then verifies every token in use again.
//
// An Access is valid as long as its token. All requests and connections with one token share a
// token session, which holds the token's expiry, its current rights and its use of limits.
// Connections are notified when any of that changes, and so are requests that wait. Expired tokens
// are found by a sweep over the sessions, not over the connections. Lock order: the lock of a
// connection, then that of the session table. Connections are notified with neither held.
//
// Behind a reverse proxy, [Proxies] determine the client's address and whether it uses TLS, and
// with it the scheme of the hub's own origin. The host of that origin is always the Host header,
// which a proxy must not change.
//
// No error of this package contains any part of a token. The package starts no goroutine:
// Middleware.Run (the sweep) and JWT.Run (the keys of a JWKS URL) run in goroutines of the caller,
// and return when their contexts end. Everything else is safe for concurrent use.
package auth
