import { TriviumError } from "./error.js"

export type TransportName = "ws" | "sse" | "poll" | "eventsource"

/** A token, or a token and its expiry as a Date or in milliseconds since 1970. */
export type Token = string | { token: string; expires?: Date | number }

/** The part of `Storage` that the client uses; `localStorage` and `sessionStorage` have it. */
export interface CursorStorage {
  getItem(key: string): string | null
  setItem(key: string, value: string): void
}

export interface Options {
  /** The hub's address, including the path under which it is mounted. Default: the origin of the page. */
  url?: string | URL
  /** Topic filters, at most 64, such as `orders.eu`, `orders.*` or `orders.>`. Default: all topics that the token may read. */
  topics?: readonly string[]
  /** Start after the event with this id. At most one of `cursor`, `last` and `since` may be given. */
  cursor?: string
  /** Start with the newest retained events, 1 to 1000. */
  last?: number
  /** Start with the events of a duration, such as `90s` or `10m`, or since a time. */
  since?: string | Date
  /** Of several waiting events with one topic and key, deliver only the newest. */
  conflate?: "key"
  token?: string
  /** Returns a token. The client calls it at the start, before a token expires, and when the hub refuses one. */
  getToken?: () => Token | Promise<Token>
  /** `auto`, the default, uses the first of `ws`, `sse` and `poll` that works, and later returns to a better one. */
  transport?: TransportName | "auto"
  /** Keeps the cursor, so that a reloaded page resumes. Each user and set of topics has an entry. */
  storage?: CursorStorage
  /** Parses JSON payloads. Default: `JSON.parse`. */
  parse?: (text: string) => unknown
  /** Milliseconds without data after which a connection counts as lost, unless the hub announces its heartbeats. A poll waits for 5/8 of it. Default: 40,000. */
  silence?: number
  /** The longest wait between two attempts in milliseconds, unless the hub asks for a longer one. Default: 30,000. */
  maxWait?: number
  /** Milliseconds that a connection may take to open. Default: 10,000. */
  openTimeout?: number
  /** The largest number of publishes that wait for the hub. Default: 1000. */
  maxPublishes?: number
}

/** Throws if options contradict each other. The hub checks their values. */
export function checkOptions(o: Options): void {
  for (const names of [["cursor", "last", "since"], ["token", "getToken"]] as (keyof Options)[][]) {
    const given = names.filter((name) => o[name] !== undefined)
    if (given.length > 1) throw new TriviumError(given.join(" and ") + " exclude each other", "options")
  }
}

/** Returns the claims of a JWT, unverified; undefined for any other token. */
export function claims(token: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(atob(token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/"))) as Record<string, unknown>
  } catch {
    return undefined
  }
}

/** Returns a hash that is the same for all tokens of one user with the same rights. It does not reveal the token. */
export function userOf(token: string): string {
  const { exp, nbf, iat, jti, ...rest } = claims(token) ?? { token }
  let a = 0xdeadbeef
  let b = 0x41c6ce57
  for (const c of JSON.stringify(rest)) {
    const n = c.codePointAt(0)!
    a = Math.imul(a ^ n, 2654435761)
    b = Math.imul(b ^ n, 1597334677)
  }
  return (a >>> 0).toString(36) + (b >>> 0).toString(36)
}
