const marks = /\\.|["[\]{},:]/g

/**
 * Returns the members of a JSON object by name, or the elements of an array by index, each as its JSON text. A payload is
 * therefore parsed only when it is needed, and its numbers keep all their digits.
 */
export function parts(json: string): Record<string, string> {
  const found: Record<string, string> = {}
  let depth = 0
  let start = 0
  let count = 0
  let name: string | undefined
  const end = (at: number) => {
    const text = json.slice(start, at).trim()
    if (text) found[name ?? count++] = text
    start = at + 1
    name = undefined
  }
  let inString = false
  for (const { 0: mark, index } of json.matchAll(marks)) {
    if (mark === '"') inString = !inString
    if (inString) continue
    if (mark === "{" || mark === "[") {
      if (!depth++) start = index + 1
    } else if (mark === "}" || mark === "]") {
      if (!--depth) end(index)
    } else if (depth === 1) {
      if (mark === ",") end(index)
      if (mark === ":") {
        name = JSON.parse(json.slice(start, index)) as string
        start = index + 1
      }
    }
  }
  return found
}
