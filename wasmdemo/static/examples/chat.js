import { connect } from "../../trivium.js"

const url = new URL("../../", import.meta.url) // of the hub
const topic = "demo.chat"
const events = connect({ url, topics: [topic], last: 20 })

const write = document.getElementById("write")
write.onsubmit = async (submit) => {
  submit.preventDefault()
  const { name, text } = write.elements
  const message = { name: name.value, text: text.value }
  text.value = ""
  await events.publish(topic, message)
}

const list = document.getElementById("messages")
const pane = list.parentElement

function item({ id, data, time }) {
  const line = document.createElement("li")
  const name = document.createElement("b")
  name.textContent = data.name
  line.append(name, " ", data.text)
  line.dataset.id = id
  line.title = time
  return line
}

// With last, the hub returns the newest events of a topic. The page requests 20 more events than it shows.
const older = document.getElementById("older")
older.onclick = async () => {
  older.disabled = true
  const shown = list.childElementCount
  const answer = await fetch(`${url}poll?topic=${topic}&wait=0&max=1000&last=${Math.min(shown + 20, 1000)}`)
  const page = (await answer.json()).events
  const first = page.findIndex((event) => event.id === list.firstElementChild?.dataset.id)
  const height = pane.scrollHeight
  list.prepend(...page.slice(0, Math.max(first, 0)).map(item))
  pane.scrollTop += pane.scrollHeight - height
  older.hidden = page.length < shown + 20
  older.disabled = false
}
pane.onscroll = () => pane.scrollTop <= 0 && !older.hidden && !older.disabled && older.click()

for await (const event of events) {
  const atEnd = pane.scrollHeight - pane.scrollTop - pane.clientHeight < 40
  list.append(item(event))
  if (atEnd) pane.scrollTop = pane.scrollHeight
}
