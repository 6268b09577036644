import { createContext, createElement, type ReactElement, type ReactNode, useContext, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react"
import type { Gap, Options, State, TriviumEvent } from "../index.js"
import { Feed, Store } from "./react-store.js"

/** The state of a provider's connection. */
export interface ProviderState extends State {
  /** The newest gap: events of the subscribed topics were lost, or may have been lost. */
  readonly gap?: Gap
}

/** The options of a provider: the options of `connect` except the topics and the start position, which the hooks determine. */
export type ProviderOptions = Omit<Options, "topics" | "cursor" | "last" | "since" | "state" | "storage">

const Context = createContext<Store | undefined>(undefined)

/**
 * Shares one connection among the components in it. In the browser, the first mounted `useTopic` opens the connection, and
 * the last unmounted one closes it. Later changes of the options have no effect: to apply them, change the `key` of the
 * provider, too.
 */
export function TriviumProvider({ children, ...options }: ProviderOptions & { children?: ReactNode }): ReactElement {
  const [store] = useState(() => new Store(options))
  return createElement(Context.Provider, { value: store }, children)
}

function useStore(): Store {
  const store = useContext(Context)
  if (!store) throw new Error("a Trivium hook needs a TriviumProvider around its component")
  return store
}

/** The options of `useTopic` without `reduce`. */
export interface TopicOptions {
  /**
   * The number of retained events to start with, 0 to 1000. Without `reduce` it is also the number of events that the hook
   * keeps, at least one. Default: 100.
   */
  last?: number
  /** Reserved for a later version of the protocol. */
  state?: never
}

/** The options of `useTopic` with `reduce`. */
export interface ReduceOptions<T, S> extends TopicOptions {
  /** Returns the next value, as a reducer of `useReducer` does. The first value is undefined. The function must be pure. */
  reduce: (value: S | undefined, event: TriviumEvent<T>) => S
}

/**
 * Returns the newest events of a topic filter, oldest first; with `reduce`, the value that the reducer has computed from the
 * events. Each event counts once, and in order. If the hub refuses the topic, the hook throws the error, so that an error
 * boundary can show it.
 */
export function useTopic<T = unknown>(topic: string, options?: TopicOptions): readonly TriviumEvent<T>[]
export function useTopic<T, S>(topic: string, options: ReduceOptions<T, S>): S | undefined
export function useTopic(topic: string, options: TopicOptions & { reduce?: ReduceOptions<unknown, unknown>["reduce"] } = {}): unknown {
  const store = useStore()
  const { last = 100, reduce } = options
  const latest = useRef(reduce)
  useEffect(() => {
    latest.current = reduce
  })
  const reduces = reduce !== undefined
  const feed = useMemo(() => {
    const keepNewest = (events: unknown, event: TriviumEvent): unknown => [...(events as TriviumEvent[]), event].slice(-Math.max(last, 1))
    return reduces
      ? new Feed(store, topic, last, undefined, (value, event) => (latest.current ?? reduce)(value, event))
      : new Feed(store, topic, last, noEvents, keepNewest)
  }, [store, topic, last, reduces])
  const { value, error } = useSyncExternalStore(feed.subscribe, feed.snapshot, feed.serverSnapshot)
  if (error) throw error
  return value
}

const noEvents: readonly TriviumEvent[] = []

/** Returns the state of the provider's connection, and the newest gap. */
export function useTriviumState(): ProviderState {
  const store = useStore()
  return useSyncExternalStore(store.subscribe, store.snapshot, store.serverSnapshot)
}
