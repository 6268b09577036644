import { closedError, TriviumError } from "./error.js"
import { newLoops } from "./loops.js"
import { checkOptions, checkToken, type Options } from "./options.js"
import { pageReports, renewed, run } from "./run.js"
import { type Client, type Inherited, reconnect, type TopicChange, transport } from "./state.js"
import { watchPage } from "./wakes.js"

/** Returns a client. It connects in a microtask, so that the program can register its handlers first. */
export function newClient(options: Options, inherited?: Inherited): Client {
  if (!inherited) checkOptions(options)
  const { silence = 40_000, maxWait = 30_000, openTimeout = 10_000, topics, token, cursor = "" } = options
  let base = String(options.url ?? "/").replace(/\/*$/, "/")
  if (base[0] === "/") base = globalThis.location?.origin + base
  if (!/^https?:/.test(base)) throw new TriviumError("url: want http:// or https://", "options")
  const c: Client = {
    _options: { ...options, maxWait, _openTimeout: openTimeout, _silence: silence, _minSilence: silence },
    _base: base,
    _id: Math.random().toString(36).slice(2),
    _handlers: new Set(),
    _auth: { _token: token === undefined ? "" : checkToken(token) },
    ...inherited,
    _newClient: newClient,
    _publishing: { _count: 0, _size: 0 },
    _cursor: cursor,
    _received: cursor,
    _topics: topics && [...topics],
    _choice: options.transport ?? "auto",
    _available: (["ws", "sse", "poll"] as const).slice(globalThis.WebSocket ? 0 : 1),
    _step: 0,
    _searches: 0,
    _tries: 0,
    _short: 0,
    _refused: 0,
    _renewed: (token: string) => renewed(c, token),
  } as unknown as Client
  c._state = { phase: "connecting", transport: transport(c) }
  c._loops = newLoops(
    () => {
      c._cursor = c._received
      c._progress?.()
      c._store?._saveSoon(() => c._cursor)
    },
    () => c._closed,
  )
  c._stopWatching = watchPage((wake) => pageReports(c, wake))
  queueMicrotask(() => void run(c))
  return c
}

/**
 * Changes the topics, and resolves when the hub has accepted them. Calls before the hub's answer share one promise, and the
 * topics of the last call apply.
 */
export async function setTopics(c: Client, topics: readonly string[]): Promise<void> {
  if (c._closed) throw c._closed.error ?? closedError()
  if (!c._change) {
    const change = { _before: c._topics } as TopicChange
    change._promise = new Promise((done, failed) => {
      change._done = done
      change._failed = failed
    })
    c._change = change
  }
  const { _promise } = c._change
  c._topics = [...topics]
  reconnect(c)
  return _promise
}
