// This client uses event-source-polyfill from npm.
import "../node_modules/event-source-polyfill/src/eventsource.js";

let id = "";
function open() {
  const events = new EventSourcePolyfill("/sse?topic=show&cursor=" + id);
  events.onmessage = ({ data, lastEventId }) => {
    id = lastEventId;
    console.log(JSON.parse(data).n);
  };
  events.onerror = () => {
    if (events.readyState === EventSourcePolyfill.CLOSED) setTimeout(open, 500 + 1500 * Math.random());
  };
}
open();
