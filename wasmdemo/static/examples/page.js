// Prepares the page of an example: signs in, shows the source, and starts the example. Not needed to use a hub.
const hub = new URL("../../", import.meta.url)
const example = document.body.dataset.example
const notice = document.getElementById("notice")

function report(title, text, asksForToken) {
  notice.hidden = false
  notice.querySelector("h2").textContent = title
  notice.querySelector("p").textContent = text
  notice.querySelector("form").hidden = !asksForToken
}

// signIn stores a token in a cookie that scripts cannot read. Requests of the pages of this hub then need no other token.
// It reports whether the hub accepts the token.
async function signIn(token) {
  const answer = await fetch(new URL("session", hub), { method: "POST", headers: { authorization: "Bearer " + token.trim() } })
  if (!answer.ok) report("The hub refuses the token", await problemOf(answer), true)
  return answer.ok
}

// problemOf returns the description of the error in an answer of the hub.
async function problemOf(answer) {
  const problem = await answer.json().catch(() => ({}))
  return problem.detail || problem.title || "status " + answer.status
}

// mayRead reports whether the hub accepts the cookie, or needs none. If not, it shows what to do.
async function mayRead(topic) {
  const answer = await fetch(new URL("poll?wait=0&topic=" + topic, hub))
  if (answer.ok) notice.hidden = true
  else if (answer.status === 401) report("This hub requires a token", "trivium serve prints the address of the demo with a token in it. Enter a token here. It is stored in a cookie until you close the browser.", true)
  else report("The hub refuses this example", (await problemOf(answer)) + ". Enter a token that may subscribe and publish to demo.>", answer.status === 403)
  return answer.ok
}

// showSource shows the HTML of the example and its scripts, as they were before the scripts ran.
async function showSource() {
  const html = document.getElementById("html")
  if (html) html.textContent = document.getElementById("example").innerHTML.replace(/^\n|\s+$/g, "")
  for (const code of document.querySelectorAll("code[data-file]")) {
    code.textContent = (await (await fetch(code.dataset.file)).text()).trimEnd()
  }
}

async function publishOne({ target }) {
  const answer = await fetch(new URL("publish/" + target.dataset.publish, hub), {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ at: new Date().toLocaleTimeString() }),
  })
  if (!answer.ok) report("The hub refuses to publish", await problemOf(answer), [401, 403].includes(answer.status))
}

async function start() {
  // The token is removed from the address first, so that no history, bookmark or screenshot contains it.
  const [, token] = /^#token=(.*)$/.exec(location.hash) ?? []
  if (token) history.replaceState(null, "", location.pathname + location.search)
  const isRefused = token && !(await signIn(decodeURIComponent(token)))
  notice.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault()
    if (await signIn(event.target.token.value)) location.reload()
  })
  if (!example) return
  await showSource()
  for (const button of document.querySelectorAll("[data-publish]")) button.addEventListener("click", publishOne)
  if (!isRefused && (await mayRead(document.body.dataset.topic))) await import(`./${example}.js`)
}

addEventListener("unhandledrejection", ({ reason }) => {
  report("The example has ended", String(reason?.message ?? reason), [401, 403].includes(reason?.status))
})
await start()
