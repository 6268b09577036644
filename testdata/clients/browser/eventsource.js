// This client uses the browser's own EventSource.
let id = "";
function open() {
  const events = new EventSource("/sse?topic=show&cursor=" + id);
  events.onmessage = ({ data, lastEventId }) => {
    id = lastEventId;
    console.log(JSON.parse(data).n);
  };
  events.onerror = () => {
    if (events.readyState !== EventSource.CLOSED) return; // it reconnects by itself
    setTimeout(open, 500 + 1500 * Math.random()); // an answer other than 200 has closed it
  };
}
open();
