// This client uses partysocket from npm.
import ReconnectingWebSocket from "../node_modules/partysocket/dist/ws.js";

let cursor = "";
const address = () => location.origin.replace("http", "ws") + "/ws?topic=show&cursor=" + cursor;
const socket = new ReconnectingWebSocket(address);
socket.onmessage = ({ data }) => {
  const message = JSON.parse(data);
  cursor = message.id ?? cursor;
  if (!message.op) console.log(message.data.n);
};
