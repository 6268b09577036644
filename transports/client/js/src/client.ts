import { TriviumError } from "./error.js"
import { type Gap, TriviumEvent } from "./event.js"
import { eventsource } from "./eventsource.js"
import { Link } from "./link.js"
import { Loops } from "./loops.js"
import { checkOptions, type Options, type TransportName } from "./options.js"
import { poll } from "./poll.js"
import { Publisher } from "./publish.js"
import { sse } from "./sse.js"
import { CursorStore } from "./storage.js"
import type { Handlers, State } from "./subscription.js"
import { backoff, startTimer, type Timer } from "./timer.js"
import { Tokens } from "./tokens.js"
import { type Message, resumeAtOnce, type Transport } from "./transport.js"
import { type Wake, watchPage } from "./wakes.js"
import { ws } from "./ws.js"

const transports: Record<TransportName, Transport> = { ws, sse, poll, eventsource }

/** Milliseconds after which an open connection counts as a success. */
const successAfter = 5000
/** The number of connections in a row, each lost within `successAfter`, after which `auto` uses the next transport. */
const maxShort = 3
/** Milliseconds between two searches of `auto` for a better transport; the time doubles with each search. */
const firstSearch = 60_000
const lastSearch = 30 * 60_000
/** The number of refused tokens in a row that a client with `getToken` endures: before its first connection, and later. */
const maxRefused = 1
const maxRefusedLater = 5
/** The longest wait that a hub can ask for, in milliseconds. */
const maxAsked = 600_000

/** A call of `setTopics` that the hub has not answered. */
interface TopicChange {
  before: readonly string[] | undefined
  done: (() => void)[]
  failed: ((why: unknown) => void)[]
}

/** The implementation of Subscription. */
export class Client<T> {
  _state: State
  /** The position up to which the program has processed all events. */
  _cursor: string
  _publisher: Publisher
  _loops: Loops<TriviumEvent<T>>
  #options: Options & { silence: number; maxWait: number; openTimeout: number; maxPublishes: number }
  #url: string
  #tab = Math.random().toString(36).slice(2)
  #handlers: { [K in keyof Handlers<T>]?: Set<(value: Handlers<T>[K]) => void> } = {}
  #progress = () => {} // makes a delivery that waits look whether it can go on
  #tokens: Tokens
  #store: CursorStore
  #stopWatching: () => void

  #topics: readonly string[] | undefined
  #change: TopicChange | undefined
  #received: string // the position up to which the program got all events; the next connection resumes there
  #closed: { error?: Error } | undefined
  #suspended = false // the page is frozen or in the cache of the browser

  #choice: TransportName | "auto"
  #available: TransportName[]
  #step = 0 // index in #available, for auto
  #search: Timer
  #searchIn = firstSearch

  #link: Link | undefined
  #trial: Link | undefined // of a better transport
  #wake = () => {} // ends a wait
  #tries = 0 // failed attempts in a row
  #short = 0 // connections lost within successAfter, in a row
  #refused = 0 // tokens refused in a row
  #wasOpen = false
  #whyFallBack: Error | undefined // the reason for which auto left a better transport

  constructor(options: Options) {
    checkOptions(options)
    const { silence = 40_000, maxWait = 30_000, openTimeout = 10_000, maxPublishes = 1000 } = options
    const o = (this.#options = { ...options, silence, maxWait, openTimeout, maxPublishes })
    this.#url = new URL(String(o.url ?? globalThis.location?.origin).replace(/\/*$/, "/")).href
    this.#topics = o.topics && [...o.topics]
    this.#received = this._cursor = o.cursor ?? ""
    this.#choice = o.transport ?? "auto"
    this.#available = (["ws", "sse", "poll"] as const).filter((t) => t !== "ws" || globalThis.WebSocket)
    this._state = { phase: "connecting", transport: this.#transport() }
    this.#tokens = new Tokens(o, o.maxWait, (token) => this.#renewed(token))
    this.#store = new CursorStore(o.storage)
    this._loops = new Loops(
      () => {
        this._cursor = this.#received
        this.#progress()
        this.#store._saveSoon(() => this._cursor)
      },
      () => this.#closed,
    )
    this._publisher = new Publisher(this.#url + "publish", o.maxPublishes, o.maxWait, this.#tokens)
    this.#stopWatching = watchPage((wake) => this.#pageReports(wake))
    queueMicrotask(() => void this.#run()) // so that the program can register its handlers first
  }

  _on<K extends keyof Handlers<T>>(name: K, f: (value: Handlers<T>[K]) => void): () => void {
    const handlers = this.#handlers as { [name in K]?: Set<(value: Handlers<T>[K]) => void> }
    const set = (handlers[name] ??= new Set())
    set.add(f)
    this.#progress()
    return () => void set.delete(f)
  }

  _iterator(): AsyncIterator<TriviumEvent<T>, undefined> {
    const iterator = this._loops._iterator()
    this.#progress()
    return iterator
  }

  _setTopics(topics: readonly string[]): Promise<void> {
    return new Promise((done, failed) => {
      if (this.#closed) return failed(this.#closed.error ?? new TriviumError("the client was closed", "closed"))
      this.#change ??= { before: this.#topics, done: [], failed: [] }
      this.#change.done.push(done)
      this.#change.failed.push(failed)
      this.#topics = [...topics]
      this._reconnect()
    })
  }

  _use(transport: TransportName | "auto"): void {
    this.#choice = transport
    this.#step = 0
    this._reconnect()
  }

  _reconnect = (): void => {
    this.#link?._end(resumeAtOnce)
    this.#progress()
    this.#wake()
  }

  /** Closes the client for good, because of an error if there is one. */
  _close(error?: Error): void {
    if (this.#closed) return
    this.#closed = error ? { error } : {}
    this._reconnect()
    this.#stopWatching()
    this.#search?.()
    this.#trial?._end(resumeAtOnce)
    this.#tokens._close()
    this._publisher._close()
    this.#store._save(this._cursor)
    this.#endChange(error ?? new TriviumError("the client was closed", "closed"))
    this.#setState("closed", this.#closed)
    if (error) this.#emit("error", error)
    this._loops._close()
  }

  #transport(): TransportName {
    return this.#choice === "auto" ? this.#available[this.#step]! : this.#choice
  }

  #emit<K extends keyof Handlers<T>>(name: K, value: Handlers<T>[K]): void {
    const handlers = this.#handlers[name] as Set<(value: Handlers<T>[K]) => void> | undefined
    for (const f of [...(handlers ?? [])]) {
      try {
        if (handlers!.has(f)) f(value) // another handler may have removed it
      } catch (e) {
        reportError(e)
      }
    }
  }

  #setState(phase: State["phase"], more: { wait?: number; error?: Error } = {}): void {
    this.#emit("state", (this._state = { phase, transport: this.#transport(), ...more }))
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      if (this.#suspended || this.#topics?.length === 0) {
        if (!this.#suspended) this.#endChange()
        await this.#sleep(Infinity, this.#suspended ? "waiting" : "idle")
        continue
      }
      const { error } = this._state
      this.#setState("connecting", error && { error })
      this.#link = undefined
      await this.#connect().catch((e) => {
        const reason: unknown = this.#link?._signal.aborted ? this.#link._reason : e
        this.#link?._end(resumeAtOnce)
        return this.#closed ? undefined : this.#lost(reason)
      })
    }
  }

  async #connect(): Promise<void> {
    const token = await this.#tokens._get()
    if (this.#closed || this.#suspended || this.#topics?.length === 0) return // run decides again
    const stored = this.#store._load(this.#url, token, this.#topics ?? [])
    if (stored) this.#received = this._cursor = stored
    this.#link = this.#newLink(this.#transport(), token)
    await transports[this.#link._transport](this.#link)
  }

  #newLink(transport: TransportName, token: string): Link {
    const link: Link = new Link(transport, token, this.#received, this.#address, this.#options, {
      _opened: () => this.#opened(),
      _tokenRefused: () => this.#tokens._retry(),
      _deliver: (m) => this.#deliver(m, link),
    })
    return link
  }

  #address = (path: string, query: Record<string, string | number>): string => {
    const { last, since, conflate } = this.#options
    const url = new URL(path, this.#url)
    const q = url.searchParams
    for (const topic of this.#topics ?? []) q.append("topic", topic)
    if (!this.#received) {
      if (last !== undefined) q.set("last", String(last))
      if (since !== undefined) q.set("since", since instanceof Date ? since.toISOString() : since)
    }
    if (conflate) q.set("conflate", conflate)
    q.set("tab", this.#tab) // browsers let a second request for one URL wait for the first
    for (const name in query) q.set(name, String(query[name]))
    return url.href
  }

  #opened(): void {
    this.#wasOpen = true
    this.#endChange()
    this.#tokens._accepted()
    if (this.#link!._token !== this.#tokens._value) this.#renewed(this.#tokens._value)
    this.#searchLater()
    this.#setState("live", this.#step && this.#whyFallBack ? { error: this.#whyFallBack } : {})
  }

  async #deliver(m: Message, link: Link): Promise<void> {
    const { op, id = this.#received } = m
    const event = op === "event" ? new TriviumEvent<T>(m.raw!, this.#options.parse) : undefined
    if (event || op === "gap") {
      const hasConsumer = () => this._loops._count || this.#handlers.event?.size || (!event && this.#handlers.gap?.size)
      while (!link._signal.aborted && !(this._loops._allWait && hasConsumer())) {
        await new Promise<void>((done) => (this.#progress = done))
      }
      if (link._signal.aborted) throw link._reason
    }
    this.#received = event?.id ?? id
    if (event) {
      this.#emit("event", event)
      this._loops._pass(event)
    } else if (op === "gap") {
      this.#emit("gap", m as unknown as Gap)
    } else if (op === "live" || op === "end") {
      this.#emit(op, { id })
    }
    this._loops._check()
  }

  /** Decides what to do after the end of a connection, and waits if that is necessary. */
  async #lost(e: unknown): Promise<void> {
    const error = e instanceof Error ? e : new Error(String(e))
    const { status = 0, code = "", temporary = true, retryAfter = 0 } = e instanceof TriviumError ? e : {}
    const link = this.#link
    const openFor = link?._isOpen ? Date.now() - link._openSince : -1
    if (openFor >= successAfter) this.#short = 0
    if (openFor >= successAfter && !this.#step) this.#searchIn = firstSearch
    // A network that fails every few seconds must not make the waits longer than its outages.
    if (openFor >= 1000) this.#refused = this.#tries = 0
    if (e === resumeAtOnce) return
    const asked = retryAfter || (temporary && link?._retry) || 0
    if (link && code && status) {
      if (this.#change && [400, 403].includes(status)) return this.#endChange(error)
      if (status === 401 && this.#options.getToken && this.#refused++ < (this.#wasOpen ? maxRefusedLater : maxRefused)) {
        this.#tokens._refuse(link._token)
        return this.#refused > 1 ? this.#waitAfter(error, asked) : undefined
      }
      const final = [400, 401, 403, 421].includes(status) || !this.#hasNext()
      if (!temporary && final) return this._close(error)
      if (temporary) return this.#waitAfter(error, asked)
    }
    if (link && !retryAfter && this.#fallBack(openFor)) {
      this.#whyFallBack = error
      return
    }
    return this.#waitAfter(error, asked)
  }

  #hasNext(): boolean {
    return this.#choice === "auto" && this.#step < this.#available.length - 1
  }

  /** Selects the next transport of auto if the current one does not work here, and reports whether there is one. */
  #fallBack(openFor: number): boolean {
    if (this.#choice !== "auto" || openFor >= successAfter) return false
    if (openFor >= 0 && ++this.#short < maxShort) return false
    this.#short = 0
    const next = this.#hasNext()
    this.#step = next ? this.#step + 1 : 0
    return next
  }

  async #waitAfter(error: Error, asked: number): Promise<void> {
    const wait = Math.min(asked, maxAsked) || backoff(this.#tries, this.#options.maxWait)
    this.#tries++
    await this.#sleep(wait, "waiting", { wait: Math.round(wait), error })
  }

  /** Waits in a phase, until a time has passed or #wake is called. */
  async #sleep(ms: number, phase: State["phase"], more = {}): Promise<void> {
    const woken = new Promise<void>((done) => {
      const stopTimer = ms < Infinity ? startTimer(ms, done) : undefined
      this.#wake = () => {
        stopTimer?.()
        done()
      }
    })
    this.#setState(phase, more) // a handler may call #wake
    await woken
    this.#wake = () => {}
  }

  /** Ends a change of topics: the hub has accepted it, or it failed. */
  #endChange(why?: unknown): void {
    const change = this.#change
    if (!change) return
    this.#change = undefined
    if (why) this.#topics = change.before
    else this.#store._select(this.#url, this.#tokens._value, this.#topics ?? [])
    for (const f of why ? change.failed : change.done) f(why)
  }

  #searchLater(): void {
    if (this.#closed || this.#choice !== "auto" || !this.#step || this.#search) return
    this.#search = startTimer(this.#searchIn, () => void this.#findBetter())
    this.#searchIn = Math.min(2 * this.#searchIn, lastSearch)
  }

  /** Tries the better transports of auto while the connection stays open, and changes to the first that works. */
  async #findBetter(): Promise<void> {
    for (let step = 0; step < this.#step && !this.#closed; step++) {
      let works = false
      const name = this.#available[step]!
      const trial: Link = (this.#trial = new Link(name, this.#tokens._value, this.#received, this.#address, this.#options, {
        _opened: () => (works = true),
        _tokenRefused() {},
        _deliver: () => Promise.reject(resumeAtOnce),
      }))
      await transports[name](trial).catch(() => trial._end(resumeAtOnce))
      if (!works || step >= this.#step) continue
      this.#step = step
      this._reconnect()
    }
    this.#search = undefined
    if (this._state.phase === "live") this.#searchLater()
  }

  #renewed(token: string): void {
    const link = this.#link
    if (!link?._isOpen) return // the token is sent when the connection is open
    link._token = token // with which a poll asks from now on
    if (link._renew) link._renew(token)
    else if (link._transport !== "poll") this._reconnect()
  }

  #pageReports(wake: Wake): void {
    if (wake === "hide" || wake === "sleep") this.#store._save(this._cursor)
    if (wake === "hide") return
    if (wake === "sleep") {
      // A page that is suspended would find its connection dead, and some browsers suspend no page that has one.
      this.#suspended = true
    } else if (wake === "online") {
      this.#step = this.#tries = 0
      if (this.#suspended) return
    } else if (this.#suspended) {
      if (wake === "wake") return // it may become visible before it is resumed
      this.#suspended = false
    } else if (this._state.phase !== "waiting" && !this.#link?._isQuiet) {
      return
    }
    this._reconnect()
  }
}

/** Reports an error of a handler as uncaught, while the other handlers get the value. */
function reportError(e: unknown): void {
  queueMicrotask(() => {
    throw e
  })
}
