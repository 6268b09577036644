import { identity } from "./claims.js"
import type { Client, Handler, close as closeClient } from "./state.js"
import type { State } from "./subscription.js"
import type { Message } from "./transport.js"

/**
 * The maximum cost of the messages that a leader has sent to one tab and that the tab has not processed yet. The cost of a
 * message is `messageCost` plus the length of its event in UTF-16 code units.
 */
export const maxCost = 1 << 21
const messageCost = 1000
/** The maximum number of tabs in a leader's list. When there are more, the leader clears the list, and open tabs report again. */
const maxTabs = 99

/** The state of the leader's connection, as a message. */
export interface StateMessage {
  op: "state"
  state: State
}

/**
 * A packet from a leader to one tab: the name of the leader, the total cost of its messages to the tab including this one,
 * the position of the leader before the message, and the message. Tabs may run different builds, so the build must not
 * shorten the names of a message's members.
 */
export type Packet = [leader: string, cost: number, before: string, message: Message | StateMessage]

/**
 * A report to all tabs of a group. A tab reports its name, the name of its leader ("" if unknown), and the total cost of the
 * messages that it has processed. A tab that leaves reports only its name. A new leader reports an empty name.
 */
export type Report = [tab: string, leader?: string, cost?: number]

/** The leader's record of a tab of the group. */
interface Member {
  _channel: BroadcastChannel
  _sent: number
  _processed: number
}

/** The tabs with the same hub, topics and user. The tab that holds the lock is the leader, and has the connection. */
export interface Group {
  _name: string
  /** Opens the connection if this tab is the leader. Not called before the hub has accepted the topics of the group. */
  _start(): void
  /** The connection, if this tab is the leader. */
  _connection: Client | undefined
  /** Takes the lock from a leader that does not answer. */
  _steal(): void
  /** Leaves the group. If this tab is the leader, the connection is closed and the lock released. */
  _leave(): void
}

/** Returns the name of the group: a hash, which does not reveal the token. */
export async function groupName({ _base, _topics, _options: { tabs, conflate } }: Client, token: string): Promise<string> {
  const text = JSON.stringify([_base, tabs === true ? [identity(token)] : tabs, _topics && [..._topics].sort(), conflate])
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))
  return "trivium 1" + new Uint8Array(hash).join()
}

/** Joins a group, and waits for its lock. Each tab has a channel of its own, so a slow tab does not delay the others. */
export function join(c: Client, _name: string, close: typeof closeClient): Group {
  const id = c._id
  const members = new Map<string, Member>()
  let waiting: AbortController | undefined // undefined after the tab has left
  let shared: BroadcastChannel | undefined // set while this tab is the leader
  let release = () => {}
  let accepted = false // the hub has accepted the topics

  const position = () => group._connection?._received ?? ""
  const send = (to: Member, message: Packet[3], before = position()) => {
    // The tab then reads the missing events from the hub, because the `before` of the next packet is ahead of the tab's
    // position.
    if (to._sent - to._processed > maxCost) return
    to._sent += messageCost + ((message as Message).raw?.length ?? 0)
    to._channel.postMessage([id, to._sent, before, message] satisfies Packet)
  }
  const sendState = (to: Member) => send(to, { op: "state", state: group._connection!._state })
  const forget = (tab: string) => {
    members.get(tab)?._channel.close()
    members.delete(tab)
  }
  const forgetAll = () => members.forEach((_, tab) => forget(tab))
  const reported = ({ data: [tab, leader, cost = 0] }: { data: Report }) => {
    if (leader !== id) forget(tab)
    if (leader === undefined) return
    if (members.size > maxTabs) forgetAll()
    let to = members.get(tab)
    if (to) to._processed = cost
    else {
      members.set(tab, (to = { _channel: new BroadcastChannel(_name + tab), _sent: 0, _processed: 0 }))
      if (group._connection) sendState(to)
    }
    send(to, { op: "position", id: position() })
  }
  const lead = () => {
    shared = new BroadcastChannel(_name)
    shared.onmessage = reported
    shared.postMessage([""] satisfies Report)
    if (accepted) group._start()
  }
  const end = () => {
    shared?.close()
    shared = undefined
    if (group._connection) close(group._connection)
    group._connection = undefined
    forgetAll()
  }
  const request = (steal?: true) => {
    waiting?.abort()
    const mine = (waiting = new AbortController())
    const held = () =>
      new Promise<void>((done) => {
        release = done
        if (mine === waiting) lead()
        else done()
      })
    navigator.locks.request(_name, steal ? { steal } : { signal: mine.signal }, held).catch(({ name }: Error) => {
      if (mine !== waiting) return
      // An AbortError reports that another tab has taken the lock. After any other error there are no locks: each tab connects.
      if (name !== "AbortError") return lead()
      end()
      request()
    })
  }
  const group: Group = {
    _name,
    _connection: undefined,
    _start() {
      accepted = true
      if (!shared || group._connection) return
      const options = { ...c._options, tabs: false, storage: undefined, cursor: c._received, topics: c._topics, transport: c._choice }
      const connection = (group._connection = c._newClient(options as Client["_options"], {
        _auth: c._auth,
        _tap: (m, before) => members.forEach((to) => send(to, m, before)),
      }))
      const on = (_name: Handler["_name"], _call: (value: never) => void) => connection._handlers.add({ _name, _call })
      on("state", () => members.forEach(sendState))
      on("error", (e: Error) => close(c, e))
    },
    _steal: () => request(true),
    _leave() {
      waiting?.abort()
      waiting = undefined
      end()
      release()
    },
  }
  request()
  return group
}
