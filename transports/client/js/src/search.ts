import { resumeAtOnce, startTimer } from "./injected.js"
import type { Link, LinkEvents } from "./link.js"
import type { load as loadPart } from "./load.js"
import type { TransportName } from "./options.js"
import type { Client } from "./state.js"

/** Milliseconds between two searches of `auto` for a better transport; the time doubles with each search, up to lastSearch. */
const firstSearch = 60_000
const lastSearch = 30 * 60_000

type NewLink = (c: Client, name: TransportName, token: string, events: LinkEvents) => Link
type Open = (name: TransportName, link: Link) => Promise<never>

/**
 * Loads the part that sends publishes while the network works, sends waiting publishes, and starts the search for a better
 * transport.
 */
export function whenLive(c: Client, newLink: NewLink, open: Open, load: typeof loadPart): void {
  load("publish").catch(() => {})
  c._publishing._wake?.()
  searchLater(c, newLink, open)
}

/** Searches for a better transport of `auto` from time to time, while the connection stays open. */
function searchLater(c: Client, newLink: NewLink, open: Open): void {
  if (c._closed || c._choice !== "auto" || !c._step || c._search) return
  c._search = startTimer(Math.min(firstSearch * 2 ** c._searches++, lastSearch), async () => {
    await findBetter(c, newLink, open)
    c._search = undefined
    if (c._state.phase === "live") searchLater(c, newLink, open)
  })
}

/** Tries the better transports, and changes to the first that works. */
async function findBetter(c: Client, newLink: NewLink, open: Open): Promise<void> {
  for (let step = 0; step < c._step && !c._closed; step++) {
    const name = c._available[step]!
    let works = false
    const trial = (c._trial = newLink(c, name, c._auth._token, {
      _opened: () => (works = true),
      _tokenRefused() {},
      _deliver: () => Promise.reject(resumeAtOnce),
    }))
    await open(name, trial).catch(() => trial._end(resumeAtOnce))
    if (!works || step >= c._step) continue
    c._step = step
    c._link?._end(resumeAtOnce)
  }
}
