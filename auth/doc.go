// Package auth decides who a request comes from and what it may do (docs/protocol.md#authentication): the
// names a hub may be reached by, the pages that may reach it, and the token that stands in a
// request.
//
// A [Guard] is a middleware. It judges each request before the request has any effect, in this
// order:
//
//  1. The Host, against DNS rebinding ([HostPolicy]).
//  2. The Origin. A page of the hub's own origin goes on; so does one of an origin that [Origins]
//     allows, and from here on each answer, a refusal too, has the headers of CORS that let the
//     page read it. A preflight, which has no token, is answered here. Any other page is refused,
//     token or not. A request without Origin goes on: it is of no browser, or one that a browser
//     sends for a page without asking whose it is.
//  3. The place of the token. One of Authorization: Bearer, the query and the WebSocket subprotocol
//     overrides the cookie of [Guard.Session], and the cookie counts only where the page that had
//     it sent is known to be a good one. The password of Authorization: Basic counts where a cookie
//     would, and none of the others stands.
//  4. The token itself: its form, then what the [Verifier] knows of it.
//
// Who passes gets an [Access] in the context of the request; who does not is handed, with the
// reason, to the route's own way of refusing, since a browser's WebSocket cannot see an HTTP
// status. Each reason says which of Host, Origin and token is at fault; whether a right is missing,
// the route judges.
//
// Verifiers are [Tokens], a file of hashes, [JWT], and [Chain] of both. What they go by may change
// at any time; [Guard.Review] then has every token in use judged again.
//
// An Access lasts as long as its token. All requests and connections of one token share a lease,
// which knows the token's end, what it grants now and what counts toward its limits. Who holds a
// connection by it is told when any of that changes, as is a request that waits; a sweep over the
// leases, not over the connections, looks for those whose end has come. Lock order: the holder's own
// lock, then that of the leases; holders are told with neither held.
//
// Behind a reverse proxy [Proxies] tell the client's address, and whether it speaks TLS: the scheme
// of the hub's own origin hangs on that. Its host is always the Host, which a proxy must keep as it
// came.
//
// No error of this package repeats anything of a token. The package starts no goroutine: Guard.Run
// (the sweep) and JWT.Run (the keys of a JWKS URL) are for goroutines of the caller, and return when
// their contexts end. Everything else is safe for use by several at once.
package auth
