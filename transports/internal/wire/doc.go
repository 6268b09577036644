// Package wire encodes and decodes the formats that the transports use. Encoders and decoders are
// tested with the same tables (testdata/wire).
//
// An outgoing event is encoded as an SSE block or as a WebSocket frame, depending on the Form. Package
// connection attaches the encodings to the event, one per Form, so that all subscribers with the same
// Form share one encoding. An encoding is ready for the socket: an SSE block is inside an HTTP/1.1 chunk,
// and an envelope is inside a WebSocket frame. For transports with a different framing (long-poll,
// HTTP/2, HTTP/1.0), FramePayload and Unchunk return the content of a frame or a chunk without a copy.
// The package also encodes the control messages of docs/protocol.md#control-messages for SSE and for
// WebSocket.
//
// For the hub, the package decodes the data that publishers send (datagrams, request bodies, commands).
// For the client, it decodes the data that the hub sends (SSEDecoder, DecodeMessage, DecodePollAnswer).
//
// The package does no I/O, except that a decoder reads from its io.Reader. It starts no goroutine and
// has no global state except buffer pools. Functions are safe for concurrent use; decoders are not.
//
// The WebAssembly client for browsers contains this package. To keep the client small, the package
// imports only the hub and the standard library, without net/http, net/url, mime and the parts of
// encoding/json that need reflection. The WebAssembly build does not contain compression and signed
// datagrams.
package wire
