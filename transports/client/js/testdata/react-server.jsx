// Prints the HTML of the app, as a server would render it. The program ends by itself, because it opens no connection.
import { renderToString } from "react-dom/server"
import { App } from "./react-app.jsx"

globalThis.fetch = globalThis.WebSocket = () => {
  throw new Error("a server must not connect")
}
console.log(renderToString(<App url="http://127.0.0.1:9" />))
