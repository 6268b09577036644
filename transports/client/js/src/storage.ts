import type { core } from "./core.js"
import { inject, startTimer } from "./injected.js"
import type { CursorStorage } from "./options.js"
import type { Timer } from "./timer.js"
import { identity } from "./claims.js"

const saveEvery = 250 // ms

/** Stores the cursor in the storage of a page. It stores nothing before an entry is selected. */
export class CursorStore {
  private _key = ""
  private _saved = ""
  private _timer: Timer

  constructor(private _storage: CursorStorage) {}

  /** Selects the entry of a user and set of topics. */
  _select(url: string, token: string, topics: readonly string[]): void {
    this._saved = ""
    this._key = ["trivium", url, hash(identity(token)), ...[...topics].sort()].join(" ")
  }

  /** Selects an entry if none is selected yet, and returns its cursor. */
  _load(url: string, token: string, topics: readonly string[]): string {
    if (this._key) return ""
    this._select(url, token, topics)
    try {
      return (this._saved = this._storage.getItem(this._key) ?? "")
    } catch {
      return "" // the page may not use the storage, so there is no stored cursor
    }
  }

  /** Stores the cursor within `saveEvery`. `cursor` returns the cursor at that time. */
  _saveSoon(cursor: () => string): void {
    if (this._key) this._timer ??= startTimer(saveEvery, () => this._save(cursor()))
  }

  /** Stores a cursor now. */
  _save(cursor: string): void {
    this._timer?.()
    this._timer = undefined
    if (!this._key || !cursor || cursor === this._saved) return
    try {
      this._storage.setItem(this._key, (this._saved = cursor))
    } catch {
      // The storage is full, or the page may not use it.
    }
  }
}

/** Returns a hash, so that the key does not reveal the token. Pages without HTTPS have no crypto.subtle. */
function hash(text: string): string {
  let a = 0xdeadbeef
  let b = 0x41c6ce57
  for (const c of text) {
    const n = c.codePointAt(0)!
    a = Math.imul(a ^ n, 2654435761)
    b = Math.imul(b ^ n, 1597334677)
  }
  return (a >>> 0).toString(36) + (b >>> 0).toString(36)
}

/** The part that stores the cursor. */
export default (c: typeof core) => {
  inject(c)
  return { _open: (storage: CursorStorage): CursorStore => new CursorStore(storage) }
}
