import { connect, type Options, type Subscription, type Token, TriviumError, TriviumEvent } from "../index.js"
import { parts } from "../json.js"
import type { ProviderState } from "./react.js"

const idle: ProviderState = { phase: "idle", transport: "ws" }

/** Milliseconds for which changes are collected before components are rendered. */
const renderEvery = 16
/** Milliseconds after which an unused feed ends. StrictMode unmounts a component and mounts it again at once. */
const linger = 100
/** The largest number of events that wait until the history of their topic has been read. */
const maxWaiting = 1000

/** The connection of a provider. It is open while there are feeds. */
export class Store {
  #subscription: Subscription | undefined
  #token: string | undefined
  #feeds = new Set<Feed>()
  #topics: readonly string[] = [] // accepted by the hub, or requested
  #isChanging = false
  #listeners = new Set<() => void>()
  #state: ProviderState = idle

  constructor(private _options: Options) {}

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }
  snapshot = (): ProviderState => this.#state
  serverSnapshot = (): ProviderState => idle

  _add(feed: Feed): void {
    this.#feeds.add(feed)
    if (this.#topics.includes(feed.topic)) feed._begin()
    queueMicrotask(() => void this.#change())
  }

  _remove(feed: Feed): void {
    this.#feeds.delete(feed)
    if (!this.#feeds.size) this.#close() // even while a change of the topics waits for the network
    queueMicrotask(() => void this.#change())
  }

  /** Sets the topics of the connection to the topics of the feeds. */
  async #change(): Promise<void> {
    if (this.#isChanging) return // the running change reads the feeds again before it ends
    this.#isChanging = true
    try {
      for (;;) {
        const topics = [...new Set([...this.#feeds].map(({ topic }) => topic))].sort()
        if (topics.join(" ") === this.#topics.join(" ")) return
        if (!topics.length) return this.#close()
        await this.#setTopics(topics)
      }
    } finally {
      this.#isChanging = false
    }
  }

  async #setTopics(topics: readonly string[]): Promise<void> {
    const before = this.#topics
    const subscription = (this.#subscription ??= this.#open())
    try {
      await subscription.setTopics(topics)
      if (subscription !== this.#subscription) return
      this.#topics = topics
      for (const feed of this.#feeds) if (topics.includes(feed.topic)) feed._begin()
    } catch (e) {
      if (subscription !== this.#subscription) return
      const error = e instanceof Error ? e : new Error(String(e))
      const added = topics.filter((topic) => !before.includes(topic))
      if (added.length < 2) return this.#fail(added.length ? added : topics, error)
      // The hub refuses one of several topics. Each is requested separately, so that the others work.
      for (const topic of added) await this.#setTopics([...this.#topics, topic].sort())
    }
  }

  #fail(topics: readonly string[], error: Error): void {
    for (const feed of [...this.#feeds]) {
      if (!topics.includes(feed.topic)) continue
      this.#feeds.delete(feed)
      feed._fail(error)
    }
  }

  #open(): Subscription {
    const { getToken } = this._options
    this.#token = this._options.token?.trim()
    const noteToken = async (): Promise<Token> => {
      const given = await getToken!()
      this.#token = (typeof given === "string" ? given : given.token).trim()
      return given
    }
    const events = connect({ ...this._options, ...(getToken && { getToken: noteToken }), topics: [] })
    const isCurrent = () => events === this.#subscription
    events.on("state", (state) => isCurrent() && this.#setState({ ...state, ...(this.#state.gap && { gap: this.#state.gap }) }))
    events.on("gap", (gap) => isCurrent() && this.#setState({ ...this.#state, gap }))
    events.on("event", (event) => {
      for (const feed of this.#feeds) if (matches(feed.topic, event.topic)) feed._add(event)
    })
    events.on("error", (error) => {
      if (!isCurrent()) return
      this.#topics = []
      this.#subscription = undefined
      this.#fail([...this.#feeds].map(({ topic }) => topic), error)
    })
    return events
  }

  #close(): void {
    this.#topics = []
    const subscription = this.#subscription
    this.#subscription = undefined
    subscription?.close()
    if (this.#state !== idle) this.#setState(idle)
  }

  #setState(state: ProviderState): void {
    this.#state = state
    for (const listener of [...this.#listeners]) listener()
  }

  /** Returns the newest retained events of a topic filter. They reach at least up to the position of the connection. */
  async _history(topic: string, last: number): Promise<TriviumEvent[]> {
    await new Promise((done) => setTimeout(done)) // lets a connection that was just accepted set its cursor
    const position = this.#subscription?.cursor ?? ""
    let base = String(this._options.url ?? "/").replace(/\/*$/, "/")
    if (base[0] === "/") base = globalThis.location.origin + base
    const query = `topic=${encodeURIComponent(topic)}&last=${last}&max=1000&wait=0` // React Native's URLSearchParams is incomplete
    const answer = await fetch(base + "poll?" + query, { headers: this.#token ? { authorization: "Bearer " + this.#token } : {} })
    if (!answer.ok) throw new TriviumError("history: status " + answer.status, "", answer.status)
    const { events = "", cursor = '""' } = parts(await answer.text())
    // The answer may be from another hub of the cluster, which has not received the newest events yet.
    if (position && isNewer(position, JSON.parse(cursor) as string)) throw new TriviumError("history: the hub is behind", "network")
    return Object.values(parts(events)).map((event) => new TriviumEvent(event, this._options.parse))
  }
}

/** The result of a hook. */
interface Snapshot {
  readonly value: unknown
  readonly error?: Error
}

/** The events of a topic filter for one hook, which reduces them to a value. */
export class Feed {
  #listeners = new Set<() => void>()
  #first: Snapshot
  #snapshot: Snapshot
  #value: unknown
  #newest = "" // the id of the newest event in the value
  #waiting: TriviumEvent[] | undefined // set until the history arrives
  #run = 0 // changes when the feed begins or ends
  #hasBegun = false
  #isAdded = false
  #render: ReturnType<typeof setTimeout> | undefined
  #leave: ReturnType<typeof setTimeout> | undefined

  constructor(
    private _store: Store,
    readonly topic: string,
    private _last: number,
    value: unknown,
    private _reduce: (value: unknown, event: TriviumEvent) => unknown,
  ) {
    this.#value = value
    this.#first = this.#snapshot = { value }
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    clearTimeout(this.#leave)
    if (!this.#isAdded) {
      this.#isAdded = true
      this.#restart()
      this._store._add(this)
    }
    return () => {
      this.#listeners.delete(listener)
      if (!this.#listeners.size) this.#leave = setTimeout(() => this.#end(), linger)
    }
  }
  snapshot = (): Snapshot => this.#snapshot
  serverSnapshot = (): Snapshot => this.#first

  #restart(): void {
    this.#run++
    this.#hasBegun = false
    this.#waiting = []
    this.#newest = ""
    this.#value = this.#first.value
  }

  #end(): void {
    this.#isAdded = false
    this.#restart()
    this.#snapshot = this.#first
    clearTimeout(this.#render)
    this.#render = undefined
    this._store._remove(this)
  }

  /** Begins the feed: the hub has accepted its topic, so its history can be read. */
  _begin(): void {
    if (this.#hasBegun) return
    this.#hasBegun = true
    if (this._last > 0) void this.#readHistory()
    else this.#takeHistory([])
  }

  async #readHistory(): Promise<void> {
    const run = this.#run
    for (let tries = 0; run === this.#run; tries++) {
      try {
        const history = await this._store._history(this.topic, this._last)
        if (run === this.#run) this.#takeHistory(history)
        return
      } catch (e) {
        if (run !== this.#run) return
        if (e instanceof TriviumError && [400, 403].includes(e.status)) return this._fail(e)
        await new Promise((done) => setTimeout(done, Math.random() * Math.min(30_000, 500 * 2 ** tries)))
      }
    }
  }

  #takeHistory(history: readonly TriviumEvent[]): void {
    const waiting = this.#waiting ?? []
    this.#waiting = undefined
    for (const event of [...history, ...waiting]) this._add(event)
  }

  _add(event: TriviumEvent): void {
    if (this.#waiting) {
      this.#waiting.push(event)
      if (this.#waiting.length > maxWaiting) this._fail(new TriviumError("the history of " + this.topic + " could not be read in time", "network"))
    } else if (isNewer(event.id, this.#newest)) {
      this.#newest = event.id
      try {
        this.#value = this._reduce(this.#value, event)
      } catch (e) {
        return this._fail(e instanceof Error ? e : new Error(String(e)))
      }
      this.#render ??= setTimeout(() => this.#publish({ value: this.#value }), renderEvery)
    }
  }

  /** Makes the hook throw. */
  _fail(error: Error): void {
    this.#run++
    this.#waiting = undefined
    this._store._remove(this)
    this.#publish({ value: this.#value, error })
  }

  #publish(snapshot: Snapshot): void {
    clearTimeout(this.#render)
    this.#render = undefined
    this.#snapshot = snapshot
    for (const listener of [...this.#listeners]) listener()
  }
}

/** Reports whether an event is newer than another. Ids of one log increase. The part before the hyphen identifies the log. */
function isNewer(id: string, than: string): boolean {
  const [log, number = ""] = id.split("-")
  const [otherLog, other = ""] = than.split("-")
  return log !== otherLog || number.length > other.length || (number.length === other.length && number > other)
}

/** Reports whether a topic filter selects a topic. */
function matches(filter: string, topic: string): boolean {
  const want = filter.split(".")
  const have = topic.split(".")
  const fits = want.every((token, n) => (token === ">" ? n < have.length : token === "*" ? n < have.length : token === have[n]))
  return fits && (want.at(-1) === ">" || want.length === have.length)
}
