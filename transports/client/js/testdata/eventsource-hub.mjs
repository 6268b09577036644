// Arguments: the URL of a hub, and its token. Prints the data of the topic t until the data "end". The first EventSource
// sends another token, which the hub refuses.
import { EventSource } from "../dist/trivium-eventsource.js"

const [url, token] = process.argv.slice(2)
const ended = (source) => new Promise((done) => source.addEventListener("error", () => source.readyState === 2 && done()))
const refused = new EventSource(url + "/sse?topic=t", { headers: { authorization: "Bearer stale" } })
await ended(refused)

let requests = 0
const events = new EventSource(url + "/sse?topic=t&last=10", {
  headers: async () => (requests++, { authorization: "Bearer " + token }),
})
events.onmessage = ({ data }) => {
  console.log(data)
  if (data !== '"end"') return
  events.close()
  console.log("requests: " + requests)
}
