// Package wire encodes and decodes the formats that the transports use. Encoders and decoders are
// tested with the same tables (testdata/wire).
//
// Outgoing events are encoded as an envelope, an SSE block or a WebSocket frame. The hub caches
// these bytes with the event (hub.Event.Form, slots FormSSE to FormDeflateCloudEvent), so an event
// is encoded at most once for each format, whatever the number of subscribers. The cached bytes are
// ready for the socket: an SSE block is inside its HTTP/1.1 chunk, an envelope inside its WebSocket
// frame. FramePayload and Unchunk return the bytes inside without a copy, for transports with
// another framing (long-poll, HTTP/2, HTTP/1.0). The package also encodes the control messages of
// docs/protocol.md#control-messages for SSE and for WebSocket.
//
// Incoming, the package decodes what publishers send (datagrams, request bodies, commands) and, for
// the client, what the hub sends (SSEDecoder, DecodeMessage, DecodePollAnswer).
//
// The package does no I/O except reading from the io.Reader of a decoder. It starts no goroutine
// and has no state except pools of buffers. Functions are safe for concurrent use; a decoder is
// not.
//
// The client in the browser contains this package, so its imports are kept small: the hub and the
// standard library without net/http, net/url, mime and the reflection of encoding/json. Compression
// and signed datagrams are left out of the WebAssembly build.
package wire
