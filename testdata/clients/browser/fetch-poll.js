// This client polls with the browser's own fetch.
const tab = Math.random().toString(36).slice(2);
let cursor = "";
for (;;) {
  try {
    const answer = await fetch("/poll?topic=show&tab=" + tab, { headers: { "Last-Event-ID": cursor } });
    if (!answer.ok) throw answer.status;
    const page = await answer.json();
    cursor = page.cursor;
    for (const event of page.events) console.log(event.data.n);
  } catch {
    await new Promise((wake) => setTimeout(wake, 500 + 1500 * Math.random()));
  }
}
