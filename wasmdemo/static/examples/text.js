import { textStream } from "../../trivium-text-stream.js"
import { writeText } from "./model.js"

const url = new URL("../../", import.meta.url) // of the hub
const answer = document.getElementById("answer")

async function show(id) {
  answer.textContent = ""
  for await (const part of textStream("demo.text." + id, { url })) answer.append(part)
}

document.getElementById("ask").onclick = () => {
  const id = Math.random().toString(36).slice(2)
  history.replaceState(null, "", "#" + id) // a reloaded page, or another tab, reads the same topic
  sessionStorage.setItem("writing", id)
  void show(id)
  void writeText(url, id)
}

const id = location.hash.slice(1)
if (id) void show(id)
if (id && id === sessionStorage.getItem("writing")) void writeText(url, id)
