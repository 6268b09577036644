import { type CursorStorage, userOf } from "./options.js"
import { startTimer, type Timer } from "./timer.js"

const saveEvery = 250 // ms

/** Keeps the cursor in the storage of a page. Without a key nothing is kept. */
export class CursorStore {
  #key = ""
  #saved = ""
  #timer: Timer

  constructor(private _storage: CursorStorage | undefined) {}

  /** Keeps the cursor of a user and set of topics from now on. */
  _select(url: string, token: string, topics: readonly string[]): void {
    this.#saved = ""
    this.#key = this._storage ? ["trivium", url, userOf(token), ...[...topics].sort()].join(" ") : ""
  }

  /** Selects a user and set of topics, and returns the stored cursor. It does so once. */
  _load(url: string, token: string, topics: readonly string[]): string {
    if (!this._storage || this.#key) return ""
    this._select(url, token, topics)
    try {
      return (this.#saved = this._storage.getItem(this.#key) ?? "")
    } catch {
      return "" // The storage is forbidden, so a reloaded page starts anew.
    }
  }

  /** Stores a cursor soon. `cursor` returns it. */
  _saveSoon(cursor: () => string): void {
    if (this.#key) this.#timer ??= startTimer(saveEvery, () => this._save(cursor()))
  }

  _save(cursor: string): void {
    this.#timer?.()
    this.#timer = undefined
    if (!this.#key || !cursor || cursor === this.#saved) return
    try {
      this._storage!.setItem(this.#key, (this.#saved = cursor))
    } catch {
      // The storage is full or forbidden, as above.
    }
  }
}
