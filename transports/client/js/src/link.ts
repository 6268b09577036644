import { problemError, TriviumError } from "./error.js"
import type { TransportName } from "./options.js"
import { startTimer, type Timer } from "./timer.js"
import { connectionLost, type Connection, type Message } from "./transport.js"
import { authRef } from "./ws.js"

/** The functions of the client that a Link calls. */
export interface LinkEvents {
  /** The subscription has started. */
  _opened(): void
  /** The hub refused a renewed token. The old one stays in force. */
  _tokenRefused(): void
  /** Resolves when the program has taken the message. */
  _deliver(m: Message): Promise<void>
}

/** Limits of silence, in milliseconds. */
export interface Limits {
  _openTimeout: number
  /**
   * The limit for a connection whose hub does not announce the time between heartbeats. It grows after each connection that
   * was closed because of silence, because the hub may send heartbeats more rarely.
   */
  _silence: number
  _minSilence: number
}

/** One connection of a client, and the watchdog that ends it when it is silent. */
export interface Link extends Connection {
  readonly _transport: TransportName
  _token: string
  /** When the subscription started, in milliseconds since 1970; 0 before. */
  _openSince: number
  /** The wait before the next connection, in milliseconds, as the stream has requested it; 0: not requested. */
  _retry: number
  _reason?: unknown
  /** Ends the connection. Only the first reason counts. */
  _end(reason: unknown): void
  /** Reports whether a heartbeat is overdue. */
  _isQuiet(): boolean
}

/** Returns a connection that is not open yet. Its watchdog runs until `_end` is called. */
export function newLink(
  _transport: TransportName,
  _token: string,
  _cursor: string,
  _url: Connection["_url"],
  _limits: Limits,
  events: LinkEvents,
): Link {
  const abort = new AbortController()
  let lastHeard = Date.now()
  let delivering = false // while it is true, nothing is read
  let heartbeat = 0 // milliseconds; 0: not announced
  let watchdog: Timer

  const silence = () => (heartbeat ? Math.max(1000, 2.5 * heartbeat) : _limits._silence)
  const quiet = () => (delivering ? 0 : Date.now() - lastHeard)
  const watch = () => {
    watchdog?.()
    const left = (link._openSince ? silence() : _limits._openTimeout) - quiet()
    if (left > 0) watchdog = startTimer(left, watch)
    else {
      if (link._openSince) _limits._silence = Math.min(2 * _limits._silence, 8 * _limits._minSilence)
      link._end(connectionLost("nothing arrived for " + quiet() + " ms"))
    }
  }
  const open = (m: Message) => {
    if (abort.signal.aborted) throw link._reason
    link._openSince = Date.now()
    link._retry = m.retry_ms || 0
    heartbeat = m.heartbeat_ms || 0
    watch() // from now on with the limit for an open connection
    events._opened()
  }
  const link: Link = {
    _transport,
    _token,
    _cursor,
    _url,
    _limits,
    _openSince: 0,
    _retry: 0,
    _signal: abort.signal,
    _heard: () => (lastHeard = Date.now()),
    _isQuiet: () => link._openSince > 0 && quiet() > silence() / 2.5,
    _end(reason) {
      watchdog?.()
      if (!abort.signal.aborted) link._reason = reason
      abort.abort(reason)
    },
    async _receive(m) {
      const { op } = m
      if (op === "error") {
        if (m.ref === undefined) throw problemError(m as object, m.retry_ms || link._retry)
        if (m.ref === authRef) events._tokenRefused()
      } else if (op === "goaway") {
        throw new TriviumError("draining", "draining", 503, m.retry_ms)
      } else if (op === "open") {
        open(m)
      } else if (!link._openSince) {
        throw new TriviumError("no hub", "")
      }
      // Messages of later versions of the protocol are ignored.
      if (!/^(open|event|gap|heartbeat|position|live|end)$/.test(op)) return
      delivering = true
      await events._deliver(m)
      delivering = false
      lastHeard = Date.now()
    },
  }
  watch()
  return link
}
