// Reads events over WebSocket without end. Rejects if the hub permanently refuses the request.
export function subscribe({ hub, topics, token, cursor = "", onEvent, onGap }) {
  return new Promise((_, reject) => {
    let failures = 0;
    function connect() {
      const query = new URLSearchParams(topics.map((topic) => ["topic", topic]));
      if (cursor) query.set("cursor", cursor);
      const protocols = ["trivium.v1", "trivium.bearer." + token];
      const socket = new WebSocket(`${hub.replace(/^http/, "ws")}/ws?${query}`, protocols);
      let wait = 1000 * 2 ** Math.min(failures++, 4) * (1 + Math.random()); // ms
      let timer, over, detail;
      const alive = () => {
        clearTimeout(timer);
        timer = setTimeout(end, 45_000, 1006); // three heartbeats
      };
      function end(code) {
        if (over) return;
        over = true;
        clearTimeout(timer);
        socket.close();
        if ([4400, 4401, 4403].includes(code)) reject(new Error(detail ?? "closed with " + code));
        else setTimeout(connect, wait);
      }
      socket.onclose = ({ code }) => end(code);
      socket.onerror = () => end(1006);
      socket.onmessage = ({ data }) => {
        if (over) return;
        alive();
        const message = JSON.parse(data);
        if (message.op === undefined) onEvent(message);
        else if (message.op === "gap") onGap(message);
        else if (message.op === "goaway") wait = message.retry_ms;
        else if (message.op === "error") detail = message.detail;
        if ([undefined, "hello", "heartbeat", "gap"].includes(message.op)) cursor = message.id; // after it was handled
        if (message.op === "hello") failures = 0;
      };
      alive();
    }
    connect();
  });
}
