// This client uses @microsoft/fetch-event-source from npm.
import { fetchEventSource } from "../node_modules/@microsoft/fetch-event-source/lib/esm/index.js";

fetchEventSource("/sse?topic=show", {
  openWhenHidden: true,
  onmessage({ event, data }) {
    if (!event.startsWith("trivium.")) console.log(JSON.parse(data).n);
  },
}).then(() => console.log("ended"));
