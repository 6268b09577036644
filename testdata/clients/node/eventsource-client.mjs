// npm eventsource-client, in Node.js.
import { createEventSource } from "eventsource-client";

createEventSource({
  url: process.env.HUB + "/sse?topic=show",
  onMessage: ({ event, data }) => {
    if (!event?.startsWith("trivium.")) console.log(JSON.parse(data).n);
  },
});
