import { currentToken } from "./auth.js"
import type { TriviumError } from "./error.js"
import { type Gap, TriviumEvent } from "./event.js"
import { type Link, type LinkEvents, newLink } from "./link.js"
import { load } from "./load.js"
import type { TransportName } from "./options.js"
import { type Client, close, emit, endChange, reconnect, setState, transport } from "./state.js"
import type { State } from "./subscription.js"
import { backoff, startTimer } from "./timer.js"
import { type Message, resumeAtOnce } from "./transport.js"
import { Wake } from "./wakes.js"
import { ws } from "./ws.js"

/** Milliseconds after which an open connection counts as a success. */
const successAfter = 5000
/** If this number of consecutive connections is lost, each within `successAfter`, `auto` uses the next transport. */
const maxShort = 3
/** How many consecutive refused tokens a client with `getToken` replaces: before its first connection, and after it. */
const maxRefused = 1
const maxRefusedLater = 5
/** The longest wait that a hub can request, in milliseconds. */
const maxAsked = 600_000

/** Connects, and replaces lost connections, until the client is closed. */
export async function run(c: Client): Promise<void> {
  while (!c._closed) {
    if (isIdle(c)) {
      c._tabs?._leave()
      if (!c._suspended) endChange(c)
      await sleep(c, Infinity, c._suspended ? "waiting" : "idle")
      continue
    }
    const { error } = c._state
    setState(c, "connecting", error && { error })
    c._link = undefined
    await connectOnce(c).catch((e) => {
      const reason: unknown = c._link?._signal.aborted ? c._link._reason : e
      c._link?._end(resumeAtOnce)
      return c._closed ? undefined : lost(c, reason)
    })
  }
}

/** Reports whether the client needs no connection now. */
function isIdle(c: Client): unknown {
  return c._closed || c._suspended || c._topics?.length === 0
}

/** Opens a connection, and reads it until it ends. The promise rejects with the reason. */
async function connectOnce(c: Client): Promise<void> {
  const { storage, tabs } = c._options
  if (tabs && globalThis.navigator?.locks) c._tabs ??= (await load("tabs"))._newTabs(c, setState, close, load)
  if (storage && !c._store) c._store = (await load("storage"))._open(storage)
  const name = transport(c)
  const token = await currentToken(c)
  if (isIdle(c)) return
  const stored = c._store?._load(c._base, token, c._topics ?? [])
  if (stored) c._received = c._cursor = stored
  const link: Link = (c._link = linkOf(c, name, token, {
    _opened: () => opened(c),
    _tokenRefused: () => c._auth._renewal?._retry(),
    _deliver: (m) => deliver(c, m, link),
  }))
  await (c._tabs ? c._tabs._follow(link) : open(name, link))
}

function linkOf(c: Client, name: TransportName, token: string, events: LinkEvents): Link {
  return newLink(name, token, c._received, (path, query) => address(c, path, query), c._options, events)
}

/** Opens a connection by a transport, and reads it. */
async function open(name: TransportName, link: Link): Promise<never> {
  return name === "ws" ? ws(link) : (await load("http"))._open(name, link)
}

/** Returns the URL of a request. The URL class of React Native has no search parameters. */
function address(c: Client, path: string, query: Record<string, string | number>): string {
  const { last, since, conflate } = c._options
  const start = c._received ? {} : { last, since: (since as Date)?.toISOString?.() ?? since }
  // `tab` makes the URL unique, because browsers delay a request until an earlier request for the same URL has ended.
  const all = Object.entries({ conflate, tab: c._id, ...start, ...query }).filter(([, value]) => value !== undefined)
  for (const topic of c._topics ?? []) all.push(["topic", topic])
  return c._base + path + "?" + all.map(([name, value]) => name + "=" + encodeURIComponent(value!)).join("&")
}

function opened(c: Client): void {
  c._wasOpen = true
  endChange(c)
  c._auth._renewal?._accepted()
  if (c._link!._token !== c._auth._token) renewed(c, c._auth._token)
  // The part that handles failures is loaded now, while the network works and the hub has this version of the part.
  load("http").then((http) => http._whenLive(c, linkOf, open, load), () => {})
  setState(c, "live", { error: c._step ? c._whyFallBack : undefined })
}

/** Delivers a message to the program, and resolves when the program can take the next one. */
async function deliver(c: Client, m: Message, link: Link): Promise<void> {
  const { op, id = c._received } = m
  const event = op === "event" ? new TriviumEvent(m.raw!, c._options.parse) : undefined
  if (c._tap) {
    const before = c._received
    c._received = event?.id ?? id
    return c._tap({ ...m, id: c._received }, before)
  }
  if (event || op === "gap") {
    const hasConsumer = () => c._loops._count() || [...c._handlers].some(({ _name }) => _name === "event" || _name === op)
    while (!link._signal.aborted && !(c._loops._allWait() && hasConsumer())) {
      await new Promise<void>((done) => (c._progress = done))
    }
    if (link._signal.aborted) throw link._reason
  }
  c._received = event?.id ?? id
  if (event) {
    emit(c, "event", event)
    c._loops._pass(event)
  } else {
    emit(c, op as "gap" | "live", op === "gap" ? (m as unknown as Gap) : { id }) // positions have no handlers
  }
  c._loops._check()
}

/** Handles the end of a connection: closes the client, selects another transport, or waits before the next attempt. */
async function lost(c: Client, e: unknown): Promise<void> {
  const error = e instanceof Error ? e : new Error(String(e))
  const { status = 0, code, temporary = true, retryAfter = 0 } = error as Partial<TriviumError>
  const link = c._link
  const openFor = link?._openSince ? Date.now() - link._openSince : -1
  if (openFor >= successAfter) {
    c._short = 0
    if (!c._step) c._searches = 0
  }
  // On a network that fails every few seconds, the waits must not grow longer than the outages.
  if (openFor >= 1000) c._refused = c._tries = 0
  if (e === resumeAtOnce) return
  const asked = retryAfter || (temporary && link?._retry) || 0
  if (link && code && status) {
    const refused = [400, 401, 403, 421].includes(status)
    if (c._change && [400, 403].includes(status)) return endChange(c, error)
    if (status === 401 && c._auth._renewal && c._refused++ < (c._wasOpen ? maxRefusedLater : maxRefused)) {
      c._auth._renewal._refuse(link._token)
      return c._refused > 1 ? waitAfter(c, error, asked) : undefined
    }
    if (!temporary && (refused || !hasNext(c))) return close(c, error)
    if (temporary) return waitAfter(c, error, asked)
  }
  if (link && !retryAfter && fallBack(c, openFor)) {
    c._whyFallBack = error
    return
  }
  return waitAfter(c, error, asked)
}

function hasNext(c: Client): boolean {
  return c._choice === "auto" && !c._tabs && c._step < c._available.length - 1
}

/** Selects the next transport of `auto` if the current one does not work here. Reports whether there is another one to try. */
function fallBack(c: Client, openFor: number): boolean {
  if (c._choice !== "auto" || c._tabs || openFor >= successAfter) return false
  if (openFor >= 0 && ++c._short < maxShort) return false
  c._short = 0
  const next = hasNext(c)
  c._step = next ? c._step + 1 : 0
  return next
}

/** Waits after an error: for the time that the hub has requested, or for a random time. */
async function waitAfter(c: Client, error: Error, asked: number): Promise<void> {
  const wait = Math.min(asked, maxAsked) || backoff(c._tries, c._options.maxWait)
  c._tries++
  await sleep(c, wait, "waiting", { wait, error })
}

/** Waits in a phase, until a time has passed or _wake is called. */
async function sleep(c: Client, ms: number, phase: State["phase"], more = {}): Promise<void> {
  let stop: (() => void) | undefined
  const woken = new Promise<void>((done) => {
    if (ms < Infinity) stop = startTimer(ms, done)
    c._wake = done
  })
  setState(c, phase, more) // a handler may call _wake
  await woken
  stop?.()
  c._wake = undefined
}

/** Makes the open connection use a renewed token. */
export function renewed(c: Client, token: string): void {
  const link = c._link
  if (!link?._openSince) return // the token is sent when the connection is open
  link._token = token // the next poll sends it
  if (link._renew) link._renew(token)
  else if (link._transport !== "poll") reconnect(c)
}

/** Handles a change of the page or of the network. */
export function pageReports(c: Client, wake: Wake): void {
  if (wake === Wake.sleep) {
    // A suspended page loses its connection, and some browsers do not suspend a page that has an open connection.
    c._store?._save(c._cursor)
    c._suspended = true
    c._tabs?._leave()
  } else if (wake === Wake.online) {
    c._step = c._tries = 0
    if (c._suspended) return
  } else if (c._suspended) {
    if (wake === Wake.visible) return // a page may become visible before it is resumed
    c._suspended = false
  } else if (c._state.phase !== "waiting" && !c._link?._isQuiet()) {
    return
  }
  reconnect(c)
}
