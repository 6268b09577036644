import type { core } from "./core.js"
import { inject, startTimer } from "./injected.js"
import type { CursorStorage } from "./options.js"
import type { Timer } from "./timer.js"
import { identity } from "./claims.js"

const saveEvery = 250 // ms

/** Keeps the cursor in the storage of a page. Without a key nothing is kept. */
export class CursorStore {
  private _key = ""
  private _saved = ""
  private _timer: Timer

  constructor(private _storage: CursorStorage) {}

  /** Keeps the cursor of a user and set of topics from now on. */
  _select(url: string, token: string, topics: readonly string[]): void {
    this._saved = ""
    this._key = ["trivium", url, hash(identity(token)), ...[...topics].sort()].join(" ")
  }

  /** Selects a user and set of topics, and returns the stored cursor. It does so once. */
  _load(url: string, token: string, topics: readonly string[]): string {
    if (this._key) return ""
    this._select(url, token, topics)
    try {
      return (this._saved = this._storage.getItem(this._key) ?? "")
    } catch {
      return "" // The storage is forbidden, so a reloaded page starts anew.
    }
  }

  /** Stores a cursor soon. `cursor` returns it. */
  _saveSoon(cursor: () => string): void {
    if (this._key) this._timer ??= startTimer(saveEvery, () => this._save(cursor()))
  }

  _save(cursor: string): void {
    this._timer?.()
    this._timer = undefined
    if (!this._key || !cursor || cursor === this._saved) return
    try {
      this._storage.setItem(this._key, (this._saved = cursor))
    } catch {
      // The storage is full or forbidden, as above.
    }
  }
}

/** Returns a hash, which does not reveal a token. Not every page has a better one. */
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

/** Cursors in a storage. */
export default (c: typeof core) => {
  inject(c)
  return { _open: (storage: CursorStorage): CursorStore => new CursorStore(storage) }
}
