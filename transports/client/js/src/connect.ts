import { Client } from "./client.js"
import type { Options } from "./options.js"
import type { Subscription } from "./subscription.js"

/** Subscribes to topics of a hub. It does not wait for a connection. */
export function connect<T = unknown>(options: Options = {}): Subscription<T> {
  const client = new Client<T>(options)
  return {
    on: (name, f) => client._on(name, f),
    get state() {
      return client._state
    },
    get cursor() {
      return client._cursor
    },
    setTopics: (topics) => client._setTopics(topics),
    use: (transport) => client._use(transport),
    reconnect: client._reconnect,
    close: () => client._close(),
    publish: client._publisher._publish,
    [Symbol.asyncIterator]: () => client._iterator(),
  }
}
