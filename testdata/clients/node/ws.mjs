// npm ws, in Node.js.
import WebSocket from "ws";

let cursor = "";
function connect() {
  const socket = new WebSocket(process.env.HUB.replace("http", "ws") + "/ws?topic=show&cursor=" + cursor);
  socket.on("message", (text) => {
    const message = JSON.parse(text);
    cursor = message.id ?? cursor;
    if (!message.op) console.log(message.data.n);
  });
  socket.on("error", () => {}); // "close" follows
  socket.on("close", () => setTimeout(connect, 500 + 1500 * Math.random()));
}
connect();
