import { connect } from "../../trivium.js"

const url = new URL("../../", import.meta.url) // of the hub
const topic = "demo.cursors"
const me = Math.random().toString(36).slice(2, 6)
const events = connect({ url, topics: [topic], conflate: "key" })

// At most one position at a time is being published. If the pointer moves meanwhile, only its newest position is published
// next.
const area = document.getElementById("area")
let next
let isSending = false
area.onpointermove = async ({ clientX, clientY }) => {
  const { left, top, width, height } = area.getBoundingClientRect()
  next = { x: (clientX - left) / width, y: (clientY - top) / height }
  if (isSending) return
  isSending = true
  while (next) {
    const position = next
    next = undefined
    await events.publish(topic, position, { key: me })
  }
  isSending = false
}

const cursors = new Map() // by key

function show(key, { x, y }) {
  const cursor = cursors.get(key) ?? { dot: document.createElement("span") }
  cursors.set(key, cursor)
  clearTimeout(cursor.timer)
  cursor.timer = setTimeout(() => cursor.dot.remove(), 10_000)
  cursor.dot.textContent = key
  cursor.dot.style.left = 100 * x + "%"
  cursor.dot.style.top = 100 * y + "%"
  cursor.dot.style.setProperty("--hue", parseInt(key, 36) % 360)
  area.append(cursor.dot)
}

for await (const { key, data } of events) if (key !== me) show(key, data)
