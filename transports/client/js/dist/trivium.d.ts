export type TransportName = "ws" | "sse" | "poll" | "eventsource";
/** A token, or a token and its expiry as a Date or in milliseconds since 1970. */
export type Token = string | {
	token: string;
	expires?: Date | number;
};
/** The methods of `Storage` that the client calls. Pass `localStorage`, `sessionStorage`, or an object of your own. */
export interface CursorStorage {
	getItem(key: string): string | null;
	setItem(key: string, value: string): void;
}
export interface Options {
	/**
	 * The hub's address, including the path under which it is mounted. In a page it may be a path, such as `/hub`. Default: the
	 * origin of the page.
	 */
	url?: string | URL;
	/** Topic filters, at most 64, such as `orders.eu`, `orders.*` or `orders.>`. Default: all topics that the token may read. */
	topics?: readonly string[];
	/** Start after the event with this id. At most one of `cursor`, `last` and `since` may be set. */
	cursor?: string;
	/** Start with the newest retained events, 1 to 1000. */
	last?: number;
	/** Start with the events of the last `90s` or `10m`, for example, or with the events accepted at a time or later. */
	since?: string | Date;
	/** Reserved for a later version of the protocol. */
	state?: never;
	/** `key`: if the subscription falls behind, deliver only the newest of the waiting events with the same topic and key. */
	conflate?: "key";
	token?: string;
	/** Returns a token. The client calls it at the start, before a token expires, and when the hub refuses one. */
	getToken?: () => Token | Promise<Token>;
	/** `auto`, the default, uses the first of `ws`, `sse` and `poll` that works, and later returns to a better one. */
	transport?: TransportName | "auto";
	/** Stores the cursor, so that a reloaded page resumes. Each user and set of topics has its own entry. */
	storage?: CursorStorage;
	/**
	 * Shares one connection among the tabs of the origin with the same hub, topics and user. With `true`, two tokens belong
	 * to one user if they are equal, or if they are JWTs that differ only in `exp`, `nbf`, `iat` and `jti`. A string names
	 * the user for other tokens; all tokens under one name must have the same rights. In a browser without Web Locks, each
	 * tab has its own connection.
	 */
	tabs?: boolean | string;
	/** Parses JSON payloads. Default: `JSON.parse`. */
	parse?: (text: string) => unknown;
	/**
	 * Milliseconds without data after which a connection counts as lost, unless the hub announces the time between
	 * heartbeats. The hub may hold a poll for 5/8 of this time. Default: 40,000.
	 */
	silence?: number;
	/** The longest wait between two attempts in milliseconds, unless the hub requests a longer one. Default: 30,000. */
	maxWait?: number;
	/** Milliseconds that a connection may take to open. Default: 10,000. */
	openTimeout?: number;
	/** The largest number of publishes that wait for the hub. Default: 1000. */
	maxPublishes?: number;
}
/** An event as the hub sent it. */
export declare class TriviumEvent<T = unknown> {
	#private;
	/** The cursor of the event. A subscription that starts at this cursor gets the events after this one. */
	readonly id: string;
	readonly topic: string;
	readonly type: string | undefined;
	readonly key: string | undefined;
	/** When the hub accepted the event: RFC 3339 in UTC, with up to nine decimals of a second. */
	readonly time: string;
	/** The payload as it was published: JSON text, other text, or binary data in base64. */
	readonly text: string;
	/**
	 * @param json an envelope (docs/protocol.md#events).
	 * @param parse parses a JSON payload when `data` is first read.
	 */
	constructor(json: string, parse?: (text: string) => unknown);
	/** The payload: the parsed JSON, a string, or a Uint8Array for binary data. */
	get data(): T;
}
/** Reports that events of the subscription were lost, or may have been lost (docs/protocol.md#gaps). */
export interface Gap {
	/** `expired`: retention removed the events. `epoch`: the hub has a new log. `future`: the cursor is ahead of the log. */
	reason: "expired" | "epoch" | "future" | (string & {});
	/** The position before the gap; absent if the subscription started with a time. */
	after?: string;
	/** The position after the gap. */
	resumed_at: string;
	/** `true`: matching events were lost. `false`: matching events may have been lost. */
	certain: boolean;
}
/** An error of the client, of the hub, or of another server that answered in place of the hub. */
export declare class TriviumError extends Error {
	readonly code: string;
	readonly status: number;
	readonly retryAfter: number;
	readonly parameter?: string | undefined;
	readonly name = "TriviumError";
	/**
	 * @param code the code in the hub's problem document, such as `invalid-token`; a code of this client: `closed`,
	 * `queue-full`, `options`, `network`, `key-expired`, `version` (the page must be reloaded), or `gap` (of a text stream);
	 * or `""` for an answer of another server.
	 * @param status the status of the HTTP answer; 0 if there was none.
	 * @param retryAfter the shortest wait before the next attempt, in milliseconds, if the hub requested one; else 0.
	 * @param parameter the name of the invalid parameter, if the hub has sent it.
	 */
	constructor(message: string, code: string, status?: number, retryAfter?: number, parameter?: string | undefined);
	/** Whether the same request may succeed later. */
	get temporary(): boolean;
}
export interface PublishOptions {
	type?: string;
	key?: string;
	/** A second publish with the same key within two minutes has no effect. Default: a random key. */
	idempotencyKey?: string;
}
/** Publishes data as JSON, or a Uint8Array as binary data, and resolves with the event's id. */
export type Publish = (topic: string, data: unknown, options?: PublishOptions) => Promise<string>;
/** The state of a subscription. Each change creates a new object. */
export interface State {
	/** `idle`: there are no topics, hence no connection. `closed`: the subscription does not connect again. */
	readonly phase: "connecting" | "live" | "waiting" | "idle" | "closed";
	readonly transport: TransportName;
	/** The wait before the next attempt in milliseconds, in phase `waiting`. */
	readonly wait?: number;
	/** The error that ended the last connection, or that closed the subscription. */
	readonly error?: Error;
}
/** The values that handlers receive, by the name under which `on` registers a handler. */
export interface Handlers<T = unknown> {
	event: TriviumEvent<T>;
	gap: Gap;
	/** Reserved for a later version of the protocol. */
	live: {
		id: string;
	};
	/** Reserved for a later version of the protocol. */
	end: {
		id: string;
	};
	state: State;
	/** The error that closed the subscription. */
	error: Error;
}
/**
 * A subscription, which replaces lost connections. The program receives each event once and in order, and lost events are
 * reported as gaps. A `for await` loop ends when the subscription is closed, and throws the error that closed it.
 */
export interface Subscription<T = unknown> extends AsyncIterable<TriviumEvent<T>> {
	/** Registers a handler and returns a function that removes it. */
	on<K extends keyof Handlers<T>>(name: K, f: (value: Handlers<T>[K]) => void): () => void;
	readonly state: State;
	/** The position up to which the program has processed all events; "" before the first connection. */
	readonly cursor: string;
	/**
	 * Changes the topics. Added filters start at the current position. If the hub refuses the topics, the promise rejects and
	 * the topics do not change.
	 */
	setTopics(topics: readonly string[]): Promise<void>;
	/** Selects the transport, and connects again with it. No event is lost or repeated. */
	use(transport: TransportName | "auto"): void;
	/** Closes the connection, if there is one, and connects at once. */
	reconnect(): void;
	/** Closes the subscription, which cannot connect again. The promises of waiting publishes reject. */
	close(): void;
	/** Publishes an event. Temporary failures are retried, and the hub publishes the event once. */
	publish: Publish;
}
/** Subscribes to topics of a hub. It returns at once, and connects in the background. */
export declare function connect<T = unknown>(options?: Options): Subscription<T>;

export {};
