// This program replaces a server that lets a model generate a text. It publishes the text part by
// part. After a reload, the tab that began a text continues it.
import { connect } from "../../trivium.js"

const text = `A hub keeps what was published for a while. Whoever reads a topic gets what is kept, and then what follows, each part once and in order. So it does not matter when a page was opened, or how often its connection was lost: it has the whole text. The server that generates the text knows nothing of its readers. It publishes each part as it gets it, and ten pages or ten thousand read along.`

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
