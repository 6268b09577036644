import { newClient, setTopics } from "./client.js"
import type { TriviumEvent } from "./event.js"
import type { Options } from "./options.js"
import { publish } from "./publishing.js"
import { close, type Handler, reconnect } from "./state.js"
import type { Subscription } from "./subscription.js"

/** The name of the method that `for await` calls. For an engine without the symbol, such as Hermes, code is compiled to use the string. */
const asyncIterator: typeof Symbol.asyncIterator = Symbol.asyncIterator ?? "@@asyncIterator"

/** Subscribes to topics of a hub. It returns at once, and connects in the background. */
export function connect<T = unknown>(options: Options = {}): Subscription<T> {
  const c = newClient(options)
  const restart = () => {
    c._tabs?._leave() // one tab of the group connects again: this one or another
    reconnect(c)
  }
  return {
    on(_name, _call) {
      const handler: Handler = { _name, _call }
      c._handlers.add(handler)
      c._progress?.()
      return () => void c._handlers.delete(handler)
    },
    get state() {
      return c._state
    },
    get cursor() {
      return c._cursor
    },
    setTopics: (topics) => setTopics(c, topics),
    use(transport) {
      c._choice = transport
      c._step = 0
      restart()
    },
    reconnect: restart,
    close: () => close(c),
    publish: (topic, data, options) => publish(c, topic, data, options),
    [asyncIterator]() {
      const iterator = c._loops._iterator()
      c._progress?.()
      return iterator as AsyncIterator<TriviumEvent<T>, undefined>
    },
  }
}
