/** What a page reports: `sleep` before it is suspended or left, `wake` when it is used again, `online` when the network is back. */
export type Wake = "sleep" | "wake" | "resume" | "online"

const wakes: Record<string, Wake> = { online: "online", freeze: "sleep", pagehide: "sleep", visibilitychange: "wake", pageshow: "resume", resume: "resume" }

/** Calls f when the page reports a change, and returns a function that ends it. Outside a page nothing is reported. */
export function watchPage(f: (wake: Wake) => void): () => void {
  const listener = ({ type }: Event) => {
    if (type !== "visibilitychange" || document.visibilityState === "visible") f(wakes[type]!)
  }
  const all = (method: "addEventListener" | "removeEventListener") => {
    for (const type in wakes) globalThis[method]?.(type, listener, true) // the window captures the events of the document
  }
  all("addEventListener")
  return () => all("removeEventListener")
}
