// npm reconnecting-eventsource.
import ReconnectingEventSource from "../node_modules/reconnecting-eventsource/build/esm/reconnecting-eventsource.js";

const events = new ReconnectingEventSource("/sse?topic=show");
// With onmessage alone it does not note the ids.
events.addEventListener("message", ({ data }) => console.log(JSON.parse(data).n));
