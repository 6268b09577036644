// Reads events by long-poll without end. Throws if the hub permanently refuses the request.
export async function subscribe({ hub, topics, token, cursor = "", onEvent, onGap }) {
  const query = new URLSearchParams(topics.map((topic) => ["topic", topic]));
  query.set("tab", Math.random().toString(36).slice(2)); // so that each page has its own URL
  for (let failures = 0; ; ) {
    query.set("wait", cursor ? "25" : "0"); // without a cursor, request the newest cursor
    const headers = { Authorization: "Bearer " + token };
    if (cursor) headers["Last-Event-ID"] = cursor;
    let answer, body;
    try {
      answer = await fetch(`${hub}/poll?${query}`, { headers, signal: AbortSignal.timeout(60_000) });
      body = await answer.json();
    } catch {
      answer = null; // no answer, or one that is not from the hub
    }
    if (answer?.ok) {
      if (body.gap) onGap(body.gap);
      body.events.forEach((event) => onEvent(event));
      cursor = body.cursor; // after the events were handled
      failures = 0;
      if (!answer.headers.has("Retry-After")) continue;
    } else if (answer?.headers.get("Content-Type") === "application/problem+json") {
      const final = body.status < 500 && ![408, 429].includes(body.status);
      if (final) throw new Error(body.detail);
    }
    const least = 1000 * Number(answer?.headers.get("Retry-After") ?? 0); // ms
    const wait = 1000 * 2 ** Math.min(failures++, 4) * (1 + Math.random());
    await new Promise((resolve) => setTimeout(resolve, Math.max(least, wait)));
  }
}
