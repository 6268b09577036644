// A program that uses all public types. `npm run check` compiles it against dist/, with the strict rules of a program.
import { connect, type Gap, type Options, type Publish, type State, type Subscription, TriviumError, TriviumEvent } from "@trivium-hub/client"

interface Order {
  total: number
}

const options: Options = {
  url: new URL("https://hub.example.com/"),
  topics: ["orders.>"] as const,
  since: new Date(),
  conflate: "key",
  getToken: async () => ({ token: "t", expires: new Date() }),
  transport: "sse",
  storage: localStorage,
  tabs: "ann",
  parse: (text) => BigInt(text),
}
const orders: Subscription<Order> = connect<Order>(options)
const remove: () => void = orders.on("event", (e) => console.log(e.data.total.toFixed(2), e.id, e.topic, e.type?.length, e.key?.length, e.time, e.text))
orders.on("gap", (gap: Gap) => console.log(gap.reason, gap.after ?? "", gap.resumed_at, gap.certain))
orders.on("state", ({ phase, transport, wait, error }: State) => console.log(phase, transport, wait ?? 0, error?.message))
orders.on("error", (e: Error) => console.log(e instanceof TriviumError ? e.code + e.status + e.retryAfter + e.temporary + e.parameter : e))
// @ts-expect-error there is no such event
orders.on("message", () => {})
// @ts-expect-error the option is reserved
connect({ state: true })
// @ts-expect-error the state is read-only
orders.state.phase = "live"
const publish: Publish = orders.publish
const id: Promise<string> = publish("orders.eu", { total: 1.5 } satisfies Order, { type: "paid", key: "18", idempotencyKey: "k" })
await Promise.all([id, orders.setTopics([]), connect().publish("t", new Uint8Array(1))])
for await (const e of connect()) {
  // @ts-expect-error without a type parameter the payload is unknown
  e.data.total
  break
}
orders.use("auto")
orders.reconnect()
remove()
orders.close()
new TriviumEvent<Order>('{"id":"e-1","topic":"t","data":{}}').data.total.toFixed()
