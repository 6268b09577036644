// Reads events over SSE without end. Throws if the hub permanently refuses the request.
export async function subscribe({ hub, topics, token, cursor = "", onEvent, onGap }) {
  const query = new URLSearchParams([["envelope", "1"], ...topics.map((topic) => ["topic", topic])]);
  for (let failures = 0; ; failures++) {
    let wait = 1000 * 2 ** Math.min(failures, 4) * (1 + Math.random()); // ms
    const silence = new AbortController();
    let timer;
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), 45_000); // three heartbeats
    };
    let refused;
    try {
      alive();
      const headers = { Authorization: "Bearer " + token, Accept: "text/event-stream" };
      if (cursor) headers["Last-Event-ID"] = cursor;
      const answer = await fetch(`${hub}/sse?${query}`, { headers, signal: silence.signal, cache: "no-store" });
      if (answer.headers.get("Content-Type") === "application/problem+json") refused = await answer.json();
      else if (answer.status !== 200) throw new Error("not from the hub: " + answer.status);
      const reader = refused ? null : answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = ""; reader; ) {
        const { value, done } = await reader.read();
        if (done) break;
        alive();
        const blocks = (rest + value).split("\n\n");
        rest = blocks.pop(); // ignore an incomplete block
        for (const block of blocks) {
          const fields = { data: [] };
          for (const line of block.split("\n")) {
            const [, name, text] = line.match(/^([^:]*):? ?(.*)$/s);
            if (name === "data") fields.data.push(text);
            else fields[name] = text;
          }
          const data = JSON.parse(fields.data.join("\n"));
          if (!fields.event) onEvent(data);
          else if (fields.event === "trivium.gap") onGap(data);
          else if (fields.event === "trivium.error") refused = data;
          if (fields.id) cursor = fields.id; // after the event was handled
          if (fields.retry) wait = Number(fields.retry);
          if (!fields.event) failures = 0;
        }
      }
    } catch (error) {
      if (!(error instanceof TypeError) && error.name !== "AbortError" && !/^not from/.test(error.message)) throw error;
    } finally {
      clearTimeout(timer);
      silence.abort();
    }
    if (refused && ![408, 429].includes(refused.status) && refused.status < 500) throw new Error(refused.detail);
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}
