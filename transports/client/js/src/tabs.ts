import type { core } from "./core.js"
import { inject, resumeAtOnce } from "./injected.js"
import { type Group, groupName, join, maxCost, type Packet, type Report, type StateMessage } from "./leader.js"
import type { Link } from "./link.js"
import type { load as loadPart } from "./load.js"
import type { Client, close as closeClient, setState as setClientState } from "./state.js"
import type { Message } from "./transport.js"

/** Milliseconds between two reports of a tab to its leader, which answers each. */
const reportEvery = 5000
/** The number of unanswered reports after which a tab takes the lock from the leader. */
const maxUnanswered = 4
/** The longest time between two messages of the leader, in milliseconds: browsers may run timers of hidden tabs once per minute. */
const heartbeat = 60_000

/** The membership of a client in a group of tabs. */
export interface Tabs {
  /** Opens and reads the subscription, like a transport. */
  _follow(link: Link): Promise<never>
  /** Leaves the group. */
  _leave(): void
}

/** Compares two cursors; NaN if they are of different epochs. */
function compare(a: string, b: string): number {
  const [epoch, seq] = a.split("-")
  const [otherEpoch, otherSeq] = b.split("-")
  return epoch === otherEpoch ? Number(seq) - Number(otherSeq) : NaN
}

function newTabs(c: Client, setState: typeof setClientState, close: typeof closeClient, load: typeof loadPart): Tabs {
  let group: Group | undefined

  /** Reads the messages of the leader, and missing events from the hub. */
  const follow = async (link: Link, group: Group): Promise<never> => {
    const http = await load("http")
    const own = new BroadcastChannel(group._name + c._id)
    const shared = new BroadcastChannel(group._name)
    const queue: Packet[] = [] // bounded by maxCost of the leader
    let leader = ""
    let processed = 0
    let reported = 0
    let unanswered = 0
    let wake = () => {}
    const report = () => shared.postMessage([c._id, leader, (reported = processed)] satisfies Report)

    own.onmessage = ({ data }: { data: Packet }) => {
      link._heard()
      unanswered = 0
      if (data[0] !== leader) {
        leader = data[0]
        processed = reported = 0
      }
      queue.push(data)
      wake()
    }
    shared.onmessage = ({ data }: { data: Report }) => {
      if (!data[0]) report()
    }
    const timer = setInterval(() => {
      if (++unanswered > maxUnanswered) {
        unanswered = 0
        group._steal()
      }
      report()
    }, reportEvery)
    link._signal.onabort = () => wake()

    /** Reads newer events from the hub, up to the position from which the messages of the leader continue. */
    const catchUp = async () => {
      for (let count = 1; count && !(queue[0] && compare(queue[0][2], c._received) <= 0); ) {
        count = (await http._pollOnce(link, c._received, 0, link._openSince ? 0 : heartbeat))._count
      }
    }
    const handle = async (before: string, m: Message | StateMessage) => {
      if ("state" in m) {
        const { phase, ...more } = m.state
        if (phase !== "closed") setState(c, phase, more)
        if (phase === "live") c._publishing._wake?.()
        return
      }
      const { op, id } = m
      const ahead = compare(before, c._received)
      if (!id || (ahead !== 0 && compare(id, c._received) <= 0)) return // nothing new
      if (ahead === 0 || (ahead < 0 && op !== "gap")) await link._receive(m)
      else await catchUp()
    }
    try {
      report()
      await catchUp()
      group._start()
      for (;;) {
        while (queue.length && !link._signal.aborted) {
          const [from, cost, before, m] = queue.shift()!
          await handle(before, m)
          if (from === leader) processed = cost
          if (processed - reported > maxCost / 4) report()
        }
        if (link._signal.aborted) throw link._reason
        await new Promise<void>((done) => (wake = done))
      }
    } finally {
      clearInterval(timer)
      shared.postMessage([c._id] satisfies Report)
      own.close()
      shared.close()
    }
  }

  const leave = () => {
    group?._leave()
    group = undefined
  }
  return {
    _leave: leave,
    async _follow(link) {
      const name = await groupName(c, link._token)
      if (link._signal.aborted) throw link._reason
      if (group?._name !== name) leave()
      const g = (group ??= join(c, name, close))
      link._renew = async (token) => {
        g._connection?._renewed(token)
        if ((await groupName(c, token)) !== name) link._end(resumeAtOnce)
      }
      return follow(link, g)
    },
  }
}

/** The part that shares one connection among tabs. */
export default (c: typeof core) => {
  inject(c)
  return { _newTabs: newTabs }
}
