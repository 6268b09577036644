package board

import "strings"

// Snippets are code snippets in plain JavaScript that read from the hub and can be pasted into a
// page.
type Snippets struct {
	EventSource, WebSocket, Polling string
	Curl                            string // a command line for a POSIX shell
}

// Mask is shown instead of a token.
const Mask = "••••••••"

// NewSnippets returns the snippets for a hub's origin and a token, which may be "" or Mask.
func NewSnippets(origin, token string) Snippets {
	query, protocols, header := "", "", ""
	if token != "" {
		query = "&access_token=" + token
		protocols = `, ["trivium.v1", "trivium.bearer.` + token + `"]`
		header = `Authorization: "Bearer ` + token + `", `
	}
	fill := func(snippet string) string {
		snippet = strings.ReplaceAll(snippet, "ORIGIN", origin)
		snippet = strings.ReplaceAll(snippet, "SOCKETS", "ws"+strings.TrimPrefix(origin, "http"))
		snippet = strings.ReplaceAll(snippet, "QUERY", query)
		snippet = strings.ReplaceAll(snippet, "PROTOCOLS", protocols)
		return strings.ReplaceAll(snippet, "HEADER", header)
	}
	curl := "curl -N " + shellQuote(origin+"/sse")
	if token != "" {
		curl += " -H 'Authorization: Bearer " + token + "'"
	}
	return Snippets{EventSource: fill(eventSource), WebSocket: fill(webSocket), Polling: fill(polling), Curl: curl}
}

// shellQuote quotes a URL for a POSIX shell if it contains characters that a shell may interpret.
func shellQuote(url string) string {
	const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/"
	if strings.Trim(url, plain) == "" {
		return url
	}
	return "'" + strings.ReplaceAll(url, "'", `'\''`) + "'"
}

const eventSource = `let cursor = "";
function connect() {
  const events = new EventSource("ORIGIN/sse?envelope=1QUERY&cursor=" + cursor);
  events.onmessage = ({ data, lastEventId }) => {
    cursor = lastEventId;
    console.log(JSON.parse(data));
  };
  events.addEventListener("trivium.gap", ({ data }) => console.warn("lost", data));
  // EventSource reconnects by itself, except after a status other than 200, for example of a proxy.
  events.onerror = () => {
    if (events.readyState === EventSource.CLOSED) setTimeout(connect, 500 + 2500 * Math.random());
  };
}
connect();
`

const webSocket = `let cursor = "";
function connect() {
  const resume = cursor && "?cursor=" + cursor;
  const socket = new WebSocket("SOCKETS/ws" + resumePROTOCOLS);
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    cursor = message.id ?? cursor;
    if (!message.op) console.log(message);
    if (message.op === "gap") console.warn("lost", message);
  };
  socket.onclose = ({ code }) => {
    if (code < 4400 || code > 4403) setTimeout(connect, 500 + 2500 * Math.random());
  };
}
connect();
`

const polling = `let cursor = "";
const tab = Math.random().toString(36).slice(2); // a browser queues polls of one URL
for (;;) {
  try {
    const answer = await fetch("ORIGIN/poll?tab=" + tab, {
      headers: { HEADER"Last-Event-ID": cursor },
    });
    if ([400, 401, 403].includes(answer.status)) throw await answer.json();
    if (!answer.ok) throw new TypeError(answer.status);
    const page = await answer.json();
    if (page.gap) console.warn("lost", page.gap);
    page.events.forEach((event) => console.log(event));
    cursor = page.cursor;
  } catch (problem) {
    if (!(problem instanceof TypeError)) throw problem;
    await new Promise((wake) => setTimeout(wake, 500 + 2500 * Math.random()));
  }
}
`
