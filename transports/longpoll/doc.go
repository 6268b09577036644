// Package longpoll is the transport for clients that can only ask: GET /poll, docs/protocol.md#long-poll.
//
// A poll is a subscription that lives for one request: it begins at the client's cursor, waits for
// the first event, and its answer says where the next begins. The request's own goroutine does all
// of it; it ends when it has answered, at once if the client has gone or the hub drains.
//
// What a poll asks for may have to be read of a log first. One that waits for no event is given
// patience for that, and so is one of which it is not known yet where it begins: it has no cursor to
// ask again from, and is answered with 503 if it gets none.
package longpoll
