import type { Gap, TriviumEvent } from "./event.js"
import type { TransportName } from "./options.js"
import type { Publish } from "./publishing.js"

/** The state of a subscription. Each change creates a new object. */
export interface State {
  /** `idle`: there are no topics, hence no connection. `closed`: for good. */
  readonly phase: "connecting" | "live" | "waiting" | "idle" | "closed"
  readonly transport: TransportName
  /** The wait before the next attempt in milliseconds, in phase `waiting`. */
  readonly wait?: number
  /** The reason for which the last connection ended, or for which the subscription is closed. */
  readonly error?: Error
}

/** The values that handlers get, by the name under which `on` registers them. */
export interface Handlers<T = unknown> {
  event: TriviumEvent<T>
  gap: Gap
  /** Reserved for a later version of the protocol. */
  live: { id: string }
  /** Reserved for a later version of the protocol. */
  end: { id: string }
  state: State
  /** The error that closed the subscription. */
  error: Error
}

/**
 * A subscription that outlives its connections. The program gets each event once and in order. Lost events are reported
 * as gaps. A loop ends when the subscription is closed, and throws the error that closed it.
 */
export interface Subscription<T = unknown> extends AsyncIterable<TriviumEvent<T>> {
  /** Registers a handler and returns a function that removes it. */
  on<K extends keyof Handlers<T>>(name: K, f: (value: Handlers<T>[K]) => void): () => void
  readonly state: State
  /** The position up to which the program has processed all events; "" before the first connection. */
  readonly cursor: string
  /**
   * Changes the topics. Added filters start at the current position. If the hub refuses the topics, the promise rejects,
   * and the topics stay as they were.
   */
  setTopics(topics: readonly string[]): Promise<void>
  /** Changes the transport. No event is lost or repeated. */
  use(transport: TransportName | "auto"): void
  /** Closes the connection, if there is one, and connects at once. */
  reconnect(): void
  close(): void
  /** Publishes an event, with retries. The hub publishes it once. */
  publish: Publish
}
