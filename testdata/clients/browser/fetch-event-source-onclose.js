// This client uses @microsoft/fetch-event-source from npm. Its onclose makes it reconnect even
// after a regular end of the stream.
import { fetchEventSource } from "../node_modules/@microsoft/fetch-event-source/lib/esm/index.js";

fetchEventSource("/sse?topic=show", {
  openWhenHidden: true,
  onmessage({ event, data }) {
    if (!event.startsWith("trivium.")) console.log(JSON.parse(data).n);
  },
  onclose() {
    throw new Error("come back");
  },
});
