// Measures how many events clients receive while their network fails again and again: see README.md.
import { Relay } from "./relay.mjs"
import { systems } from "./systems.mjs"
import { parseArgs } from "node:util"

const { values } = parseArgs({
  options: {
    trivium: { type: "string", default: "trivium" },
    clients: { type: "string", default: "10" },
    rate: { type: "string", default: "10" },
    seconds: { type: "string", default: "180" },
    every: { type: "string", default: "10" },
    outage: { type: "string", default: "2" },
    settle: { type: "string", default: "15" },
  },
})
const number = (name) => {
  const n = Number(values[name])
  if (!(n > 0)) throw new Error(`--${name}: want a number above 0`)
  return n
}
const [clients, rate, seconds, every, outage, settle] = ["clients", "rate", "seconds", "every", "outage", "settle"].map(number)
if (outage >= every) throw new Error("--outage must be shorter than --every")

const sleep = (ms) => new Promise((done) => setTimeout(done, ms))

/** The events that one client has received. */
class Inbox {
  numbers = new Set()
  twice = 0
  late = 0 // arrived after a newer one
  newest = -1
  silence = 0 // the longest time between two events, in milliseconds
  at = 0

  add(n) {
    if (n < 0) return void (this.at = Date.now()) // sent before the measurement
    if (this.numbers.has(n)) return void this.twice++
    this.numbers.add(n)
    if (n < this.newest) this.late++
    this.newest = Math.max(n, this.newest)
    const now = Date.now()
    this.silence = Math.max(this.silence, now - this.at)
    this.at = now
  }
}

const relay = new Relay()
const running = []
for (const { name, start } of systems) {
  const system = await start({ program: values.trivium })
  const url = await relay.add(system.port)
  const inboxes = Array.from({ length: clients }, () => new Inbox())
  const stops = await Promise.all(inboxes.map((inbox) => system.connect(url, (n) => inbox.add(n))))
  running.push({ name, system, inboxes, stops })
}
const sendAll = (n) => Promise.all(running.map(({ system }) => system.send(n)))
const everyInbox = (test) => running.every(({ inboxes }) => inboxes.every(test))

while (!everyInbox((inbox) => inbox.at)) {
  await sendAll(-1)
  await sleep(100)
}

const begin = Date.now()
const outages = (async () => {
  for (;;) {
    await sleep((every - outage) * 1000)
    if (Date.now() - begin > (seconds - outage) * 1000) return
    relay.down()
    await sleep(outage * 1000)
    relay.up()
  }
})()
let sent = 0
for (; Date.now() - begin < seconds * 1000; sent++) {
  await sendAll(sent)
  await sleep(begin + ((sent + 1) * 1000) / rate - Date.now())
}
await outages
// The network works from now on. A client may wait for up to 30 s before it connects.
const received = (inboxes) => inboxes.reduce((sum, { numbers }) => sum + numbers.size, 0)
const [trivium] = running
for (let arrived = -1, quiet = 0; quiet < 600 && !everyInbox(({ numbers }) => numbers.size === sent); quiet++) {
  const now = received(running.flatMap(({ inboxes }) => inboxes))
  if (now !== arrived) quiet = 0
  else if (quiet > 10 * settle && received(trivium.inboxes) === sent * clients) break
  arrived = now
  await sleep(100)
}

console.log(`${sent} events to ${clients} clients of each, in ${seconds} s; no network for ${outage} s every ${every} s, ${relay.outages} times\n`)
const rows = running.map(({ name, inboxes }) => {
  const sum = (f) => inboxes.reduce((total, inbox) => total + f(inbox), 0)
  const count = received(inboxes)
  const percent = Math.floor((count / (sent * clients)) * 10_000) / 100 // 100 means all
  return [name, count, sent * clients - count, percent + " %", sum(({ twice }) => twice), sum(({ late }) => late), Math.max(...inboxes.map(({ silence }) => silence)) + " ms"]
})
const table = [["client", "received", "lost", "delivered", "twice", "out of order", "longest silence"], ["---", "---:", "---:", "---:", "---:", "---:", "---:"], ...rows]
for (const cells of table) console.log("| " + cells.join(" | ") + " |")

for (const { system, stops } of running) {
  for (const stop of stops) stop()
  await system.stop()
}
relay.close()
if (!trivium.inboxes.every(({ numbers, twice, late }) => numbers.size === sent && !twice && !late)) {
  console.error("trivium.js lost, repeated or reordered events")
  process.exitCode = 1
}
