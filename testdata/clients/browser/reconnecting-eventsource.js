// This client uses reconnecting-eventsource from npm.
import ReconnectingEventSource from "../node_modules/reconnecting-eventsource/build/esm/reconnecting-eventsource.js";

const events = new ReconnectingEventSource("/sse?topic=show");
// If only onmessage were set, the library would not remember the ids.
events.addEventListener("message", ({ data }) => console.log(JSON.parse(data).n));
