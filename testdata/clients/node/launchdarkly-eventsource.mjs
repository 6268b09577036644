// npm launchdarkly-eventsource, in Node.js.
import { EventSource } from "launchdarkly-eventsource";

const events = new EventSource(process.env.HUB + "/sse?topic=show", {
  initialRetryDelayMillis: 1000,
  maxRetryDelayMillis: 4000,
  jitterRatio: 0.5,
});
events.onmessage = ({ data }) => console.log(JSON.parse(data).n);
events.onerror = () => {}; // it tries again
