import { type Options } from "./trivium.js";
/** The options of a text stream: those of `connect`, but the topic. */
export type TextStreamOptions = Omit<Options, "topics" | "storage">;
/**
 * Returns the texts of a topic's events, such as the parts of a generated answer, as a stream of strings: the payloads
 * that are strings, and the JSON of the others. By default it begins with the oldest retained event of the topic.
 *
 * The stream ends when the topic ends. It fails if a part was lost, or if the hub refuses the subscription; a lost
 * connection is replaced. A reader that is slow holds back the connection. Canceling the stream closes it.
 */
export declare function textStream(topic: string, options?: TextStreamOptions): ReadableStream<string>;
