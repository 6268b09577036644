import type { Auth } from "./auth.js"
import { closedError } from "./error.js"
import type { TriviumEvent } from "./event.js"
import type { Limits, Link } from "./link.js"
import type { Loops } from "./loops.js"
import type { Options, TransportName } from "./options.js"
import type { Publishing } from "./publishing.js"
import type { CursorStore } from "./storage.js"
import type { Handlers, State } from "./subscription.js"
import type { Tabs } from "./tabs.js"
import type { Timer } from "./timer.js"
import { type Message, resumeAtOnce } from "./transport.js"

/** A call of `setTopics` that the hub has not answered. */
export interface TopicChange {
  _before: readonly string[] | undefined
  _promise: Promise<void>
  _done: () => void
  _failed: (why: unknown) => void
}

/** The members that the leader's connection shares with the client of its tab. */
export type Inherited = Pick<Client, "_auth" | "_tap">

export interface Handler {
  _name: keyof Handlers
  _call: (value: never) => void
}

/** The state of a client. It is a plain object with functions instead of a class, because a minifier shortens neither `this` nor `#`. */
export interface Client {
  _state: State
  _options: Options & Limits & { maxWait: number }
  /** The hub's address, with a slash at the end. */
  _base: string
  /** A random name of this client. */
  readonly _id: string
  _handlers: Set<Handler>
  _loops: Loops<TriviumEvent>
  _auth: Auth
  _publishing: Publishing
  _store: CursorStore | undefined
  _closed: { error?: Error } | undefined
  /** Whether the page is frozen, or in the back/forward cache. */
  _suspended: boolean
  /** The other tabs, if they share a connection. */
  _tabs?: Tabs
  /** Set in the leader's connection: receives each message, with the position before it. */
  _tap: ((m: Message, before: string) => void) | undefined
  _newClient: (options: Options, inherited: Inherited) => Client
  _stopWatching: () => void
  /** Makes the open connection use a renewed token. */
  _renewed: (token: string) => void

  /** The position up to which the program has processed all events. */
  _cursor: string
  /** The position up to which the program has received all events. The next connection resumes there. */
  _received: string
  _topics: readonly string[] | undefined
  _change: TopicChange | undefined

  _choice: TransportName | "auto"
  /** The transports of `auto`, and the index of the current one. */
  _available: TransportName[]
  _step: number
  /** The error because of which `auto` does not use a better transport. */
  _whyFallBack: Error | undefined
  /** The timer of the next search for a better transport, and the number of searches since the best one was lost. */
  _search: Timer
  _searches: number

  _link: Link | undefined
  /** The connection of a search for a better transport. */
  _trial: Link | undefined
  /** Makes a waiting delivery check whether it can continue. */
  _progress?: () => void
  /** Ends the current wait. */
  _wake?: (() => void) | undefined
  /** The numbers of consecutive failed attempts, connections lost early, and refused tokens. */
  _tries: number
  _short: number
  _refused: number
  _wasOpen: boolean
}

/** Returns the transport of the current or next connection. */
export function transport(c: Client): TransportName {
  return c._choice === "auto" ? c._available[c._step]! : c._choice
}

/** Calls the handlers of a name. */
export function emit<K extends keyof Handlers>(c: Client, name: K, value: Handlers[K]): void {
  for (const handler of [...c._handlers]) {
    try {
      // Another handler may have removed this one.
      if (handler._name === name && c._handlers.has(handler)) handler._call(value as never)
    } catch (e) {
      // The error becomes an uncaught error, and the other handlers are called.
      queueMicrotask(() => {
        throw e
      })
    }
  }
}

/** Changes the state, and reports it to the handlers. */
export function setState(c: Client, phase: State["phase"], more: Partial<State> | { error?: Error | undefined } = {}): void {
  emit(c, "state", (c._state = { phase, transport: transport(c), ...more } as State))
}

/** Ends the current connection and all waits. The next connection and waiting publishes follow at once. */
export function reconnect(c: Client): void {
  c._link?._end(resumeAtOnce)
  c._progress?.()
  c._wake?.()
  c._publishing._wake?.()
}

/** Ends a change of topics. If there is an error, the topics before the change apply again. */
export function endChange(c: Client, why?: unknown): void {
  const change = c._change
  if (!change) return
  c._change = undefined
  if (why) {
    c._topics = change._before
    return change._failed(why)
  }
  c._store?._select(c._base, c._auth._token, c._topics ?? [])
  change._done()
}

/** Closes the client, which cannot connect again. An error, if any, is reported to the program. */
export function close(c: Client, error?: Error): void {
  if (c._closed) return
  c._closed = error ? { error } : {}
  reconnect(c)
  c._stopWatching()
  c._search?.()
  c._trial?._end(resumeAtOnce)
  if (!c._tap) c._auth._renewal?._close()
  c._tabs?._leave()
  c._publishing._publisher?.then((p) => p._close(), () => {})
  c._store?._save(c._cursor)
  endChange(c, error ?? closedError())
  setState(c, "closed", c._closed)
  if (error) emit(c, "error", error)
  c._loops._close()
}
