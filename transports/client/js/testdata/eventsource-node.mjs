// Arguments: a URL with N in place of the number of a stream, and how many streams there are.
import { EventSource } from "../dist/trivium-eventsource.js"
import { record } from "./eventsource.mjs"

const [url, count] = process.argv.slice(2)
const logs = await Promise.all(Array.from({ length: count }, (_, n) => record(EventSource, url.replace("N", n))))
console.log(JSON.stringify(logs))
