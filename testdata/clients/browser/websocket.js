// This client uses the browser's own WebSocket.
let cursor = "";
function connect() {
  const socket = new WebSocket("/ws?topic=show&cursor=" + cursor);
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    cursor = message.id ?? cursor;
    if (!message.op) console.log(message.data.n);
  };
  socket.onclose = () => setTimeout(connect, 500 + 1500 * Math.random());
}
connect();
