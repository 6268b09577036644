/** What a page reports: `sleep` before it is suspended, `wake` when it is used again, `online` when the network is back. */
export type Wake = "hide" | "sleep" | "wake" | "resume" | "online"

/** Calls f when the page reports a change, and returns a function that ends it. Outside a page nothing is reported. */
export function watchPage(f: (wake: Wake) => void): () => void {
  const listener = ({ type, persisted }: Event & { persisted?: boolean }) => {
    if (type === "visibilitychange" && document.visibilityState !== "visible") return
    if (type === "pagehide") f(persisted ? "sleep" : "hide")
    else f(({ online: "online", freeze: "sleep", visibilitychange: "wake" } as const)[type] ?? "resume")
  }
  const all: [EventTarget | undefined, string][] = [
    ...["online", "pageshow", "pagehide"].map((name) => [globalThis, name] as [EventTarget | undefined, string]),
    ...["visibilitychange", "freeze", "resume"].map((name) => [globalThis.document, name] as [EventTarget | undefined, string]),
  ]
  for (const [target, name] of all) target?.addEventListener?.(name, listener)
  return () => {
    for (const [target, name] of all) target?.removeEventListener?.(name, listener)
  }
}
