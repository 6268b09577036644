// Publishes to the topic t and reads it over each transport while connections are cut, and prints the data. Arguments: the
// URL of a test server, and the token of its hub.
import { connect } from "../dist/npm/index.js"
import { EventSource } from "../dist/npm/eventsource.js"
import { textStream } from "../dist/npm/text-stream.js"

async function run(server, token, print) {
  const url = server + "/hub/"
  const numbers = [1, 2, 3, 4, 5, 6]
  const cut = () => fetch(server + "/cut", { method: "POST" }).catch(() => {}) // the connection of this request is cut, too

  for (const transport of ["ws", "sse", "poll"]) {
    const events = connect({ url, token, topics: ["t"], transport, maxWait: 50 })
    await new Promise((done) => events.on("state", ({ phase }) => phase === "live" && done()))
    const loop = events[Symbol.asyncIterator]()
    const got = []
    for (const n of numbers) {
      if (n === 4) await cut()
      await events.publish("t", n)
      got.push((await loop.next()).value.data)
    }
    print([transport, ...got])
    events.close()
    print(["closed", (await loop.next()).done])
  }

  const refused = connect({ url, token: "stale", topics: ["t"] })
  print(["refused", (await new Promise((done) => refused.on("error", done))).status])

  const source = new EventSource(url + "sse?topic=t&last=2", { headers: { authorization: "Bearer " + token } })
  const data = await new Promise((done) => {
    const got = []
    source.onmessage = (e) => got.push(e.data) === 2 && done(got)
  })
  source.close()
  print(["EventSource", ...data])

  const reader = textStream("t", { url, token, last: 2 }).getReader()
  print(["textStream", (await reader.read()).value, (await reader.read()).value])
  await reader.cancel()
}

if (globalThis.process) {
  await run(...process.argv.slice(2), (words) => console.log(words.join(" ")))
} else { // in a worker of a page
  let text = ""
  await run(location.origin, location.hash.slice(1), (words) => (text += words.join(" ") + "\n"))
  postMessage(text)
}
