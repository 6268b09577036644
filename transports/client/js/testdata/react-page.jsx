// Hydrates the app in a page that already contains its HTML.
import { hydrateRoot } from "react-dom/client"
import { App } from "./react-app.jsx"

globalThis.errors = []
console.error = (...args) => globalThis.errors.push(args.join(" "))
let asked = 0
const options = { url: location.origin + "/hub/", getToken: async () => (asked++, "secret"), transport: "ws" }
const root = hydrateRoot(document.getElementById("root"), <App {...options} />)
globalThis.unmount = () => root.unmount()
