import { type Options } from "./trivium.js";
/** The options of a text stream: the options of `connect` except `topics` and `storage`. */
export type TextStreamOptions = Omit<Options, "topics" | "storage">;
/**
 * Returns the events of a topic as a stream of strings, for example the parts of a generated answer. Each event is one
 * part: its payload if that is a string, and else the JSON of the payload. By default the stream begins with the oldest
 * retained event.
 *
 * The stream ends when the topic ends. A lost connection is replaced. The stream fails if a part was lost, or if the hub
 * refuses the subscription. If the reader is slow, the client stops reading from the hub. Canceling the stream closes the
 * connection.
 */
export declare function textStream(topic: string, options?: TextStreamOptions): ReadableStream<string>;
