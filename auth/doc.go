// Package auth decides who a request comes from and what it may do (PROTOCOL section 7): the
// names a hub may be reached by, the pages that may reach it, and the token that stands in a
// request.
//
// A [Guard] is a middleware. It judges each request before the request has any effect, in this
// order: the Host (against DNS rebinding), the Origin (against foreign pages), the place and form
// of the token, the token itself. Who passes gets a [hub.Grant] in the context of the request;
// who does not is handed, with the reason, to the route's own way of refusing, since a browser's
// WebSocket cannot see an HTTP status. What a token grants is a [Verifier]'s business.
//
// No error of this package repeats anything of a token. There are no goroutines here, and
// everything is safe for use by several at once.
package auth
