// Package wire holds the formats that the transports speak, each once: what is encoded here is
// decoded here, by the same tables (testdata/wire).
//
// Going out, an event becomes its envelope, its SSE block or its WebSocket frame. These are the
// forms that the hub keeps with the event (hub.Event.Form, slots FormSSE to FormDeflateCloudEvent), so each
// is made at most once however many subscribers there are, and each is ready for the socket: an
// SSE block stands in its HTTP/1.1 chunk, an envelope in its frame. FramePayload and Unchunk give
// what is inside, without a copy, to a road that frames otherwise (long-poll, HTTP/2, HTTP/1.0).
// Beside them stand the control messages of docs/protocol.md#control-messages in both spellings, and
// Problem, the one place where an error gets its HTTP status and its WebSocket close code.
//
// Coming in, it reads what publishers send (datagrams, request bodies, commands) and, for the
// client, what the hub sends (SSEDecoder, DecodeMessage, DecodePollAnswer).
//
// The package does no I/O but for reading from the io.Reader that a decoder was given; it starts
// no goroutine and has no state but pools of scratch buffers. Functions may be called from
// several goroutines at once; a decoder belongs to one.
//
// It imports nothing but the hub and the standard library without net/http, for the client in the
// browser carries it too. What no page needs (compression, signed datagrams) is left out there, and
// net/url, mime and encoding/json's reflection everywhere: each would be seen in the page's size.
package wire
