/**
 * A change of the page or of the network. `sleep`: the page is about to be suspended or left. `wake`: it has become visible.
 * `resume`: it is no longer suspended. `online`: the network is back.
 */
export type Wake = "sleep" | "wake" | "resume" | "online"

const wakes: Record<string, Wake> = { online: "online", freeze: "sleep", pagehide: "sleep", visibilitychange: "wake", pageshow: "resume", resume: "resume" }

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
