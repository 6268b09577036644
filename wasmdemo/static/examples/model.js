// This module simulates a server with a model that generates text. It publishes the text part by part. After a reload, the
// tab that has begun a text continues it.
import { connect } from "../../trivium.js"

const text = `A hub retains published events for a while. A page that subscribes to a topic gets the retained parts first and the new parts after them, each once and in order. Therefore it does not matter when the page was opened, or how often its connection was lost: it has the whole text. The server that generates the text does not know its readers. It publishes each part as soon as the part is ready, for ten pages or for ten thousand.`

export async function writeText(url, id) {
  const topic = "demo.text." + id
  const parts = text.split(/(?<= )/)
  const kept = await fetch(`${url}poll?topic=${topic}&wait=0&max=1000&last=1000`)
  const { publish } = connect({ url, topics: [] })
  for (let n = (await kept.json()).events.length; n < parts.length; n++) {
    await publish(topic, parts[n], { idempotencyKey: `${id}-${n}` }) // once, even if a reload interrupts it
    await new Promise((done) => setTimeout(done, 120))
  }
}
