const hub = "../.." // or, from elsewhere, "https://hub.example.com"
const events = new EventSource(hub + "/sse?topic=demo.news&last=10")
const show = (text) => document.querySelector("#news").prepend(text, document.createElement("br"))
events.onmessage = ({ data }) => show(data)
events.addEventListener("trivium.gap", ({ data }) => show("lost: " + data))
