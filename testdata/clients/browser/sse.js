// This client uses sse.js from npm.
import { SSE } from "../node_modules/sse.js/lib/sse.js";

const events = new SSE("/sse?topic=show", { autoReconnect: true });
events.onmessage = ({ data }) => console.log(JSON.parse(data).n);
