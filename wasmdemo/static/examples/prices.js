import { connect } from "../../trivium.js"

const url = new URL("../../", import.meta.url) // of the hub
const topic = "demo.prices"
const events = connect({ url, topics: [topic], last: 100, conflate: "key" })
events.on("state", (state) => (document.getElementById("phase").textContent = state.phase))

const list = document.getElementById("prices")
const rows = new Map() // by key

function show(name, price) {
  if (!rows.has(name)) {
    const row = document.createElement("li")
    row.append(name, document.createElement("output"))
    rows.set(name, row)
    list.replaceChildren(...[...rows.keys()].sort().map((key) => rows.get(key)))
  }
  const output = rows.get(name).lastChild
  output.dataset.change = Math.sign(price - (output.value || price))
  output.value = price.toFixed(2)
}

async function publishPrices() {
  const names = ["Cappuccino", "Croissant", "Espresso", "Filter coffee", "Flat white"]
  for (;;) {
    await new Promise((done) => setTimeout(done, 300))
    if (document.hidden) continue
    const name = names[Math.floor(Math.random() * names.length)]
    await events.publish(topic, 2 + Math.random() * 3, { key: name })
  }
}
void publishPrices()

for await (const { key, data } of events) show(key, data)
