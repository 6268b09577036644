// npm partysocket, in Node.js with the socket of npm ws.
import { WebSocket as ReconnectingWebSocket } from "partysocket";
import WebSocket from "ws";

let cursor = "";
const address = () => process.env.HUB.replace("http", "ws") + "/ws?topic=show&cursor=" + cursor;
const socket = new ReconnectingWebSocket(address, [], { WebSocket });
socket.onmessage = ({ data }) => {
  const message = JSON.parse(data);
  cursor = message.id ?? cursor;
  if (!message.op) console.log(message.data.n);
};
