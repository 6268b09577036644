/** A change of the page or of the network. */
export const enum Wake {
  /** The page is about to be suspended or left. */
  sleep,
  /** The page has become visible. */
  visible,
  /** The page is no longer suspended. */
  resume,
  /** The network is back. */
  online,
}

const wakes: Record<string, Wake> = {
  online: Wake.online,
  freeze: Wake.sleep,
  pagehide: Wake.sleep,
  visibilitychange: Wake.visible,
  pageshow: Wake.resume,
  resume: Wake.resume,
}

/** Calls f at each change, and returns a function that ends the calls. Outside a page there are no changes. */
export function watchPage(f: (wake: Wake) => void): () => void {
  const listener = ({ type }: Event) => {
    if (type !== "visibilitychange" || document.visibilityState === "visible") f(wakes[type]!)
  }
  const all = (method: "addEventListener" | "removeEventListener") => {
    for (const type in wakes) globalThis[method]?.(type, listener, true) // the window captures events of the document, too
  }
  all("addEventListener")
  return () => all("removeEventListener")
}
