import type { Gap, TriviumEvent } from "./event.js"
import type { TransportName } from "./options.js"
import type { Publish } from "./publishing.js"

/** The state of a subscription. Each change creates a new object. */
export interface State {
  /** `idle`: there are no topics, hence no connection. `closed`: the subscription does not connect again. */
  readonly phase: "connecting" | "live" | "waiting" | "idle" | "closed"
  readonly transport: TransportName
  /** The wait before the next attempt in milliseconds, in phase `waiting`. */
  readonly wait?: number
  /** The error that ended the last connection, or that closed the subscription. */
  readonly error?: Error
}

/** The values that handlers receive, by the name under which `on` registers a handler. */
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
 * A subscription, which replaces lost connections. The program receives each event once and in order, and lost events are
 * reported as gaps. A `for await` loop ends when the subscription is closed, and throws the error that closed it.
 */
export interface Subscription<T = unknown> extends AsyncIterable<TriviumEvent<T>> {
  /** Registers a handler and returns a function that removes it. */
  on<K extends keyof Handlers<T>>(name: K, f: (value: Handlers<T>[K]) => void): () => void
  readonly state: State
  /** The position up to which the program has processed all events; "" before the first connection. */
  readonly cursor: string
  /**
   * Changes the topics. Added filters start at the current position. If the hub refuses the topics, the promise rejects and
   * the topics do not change.
   */
  setTopics(topics: readonly string[]): Promise<void>
  /** Selects the transport, and connects again with it. No event is lost or repeated. */
  use(transport: TransportName | "auto"): void
  /** Closes the connection, if there is one, and connects at once. */
  reconnect(): void
  /** Closes the subscription, which cannot connect again. The promises of waiting publishes reject. */
  close(): void
  /** Publishes an event. Temporary failures are retried, and the hub publishes the event once. */
  publish: Publish
}
