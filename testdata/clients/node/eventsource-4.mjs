// npm eventsource 4, in Node.js.
import { EventSource } from "eventsource";

let id = "";
function open() {
  const events = new EventSource(process.env.HUB + "/sse?topic=show&cursor=" + id);
  events.onmessage = ({ data, lastEventId }) => {
    id = lastEventId;
    console.log(JSON.parse(data).n);
  };
  events.onerror = () => {
    if (events.readyState !== EventSource.CLOSED) return; // it comes back by itself
    setTimeout(open, 500 + 1500 * Math.random());
  };
}
open();
