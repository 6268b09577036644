/** The options of an EventSource. */
export interface EventSourceOptions {
    /** Sends cookies to another origin too. */
    withCredentials?: boolean;
    /** Additional headers of each request, or a function that returns them. It is called before each request. */
    headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>);
}
type Handler<E extends Event> = ((this: EventSource, event: E) => unknown) | null;
/**
 * The EventSource of the HTML standard (section 9.2), with request headers. It reads by fetch, so it also works in
 * workers, Node.js, Bun and Deno. Apart from the headers it behaves like the EventSource of the browser.
 */
export declare class EventSource extends EventTarget {
    #private;
    static readonly CONNECTING = 0;
    static readonly OPEN = 1;
    static readonly CLOSED = 2;
    readonly CONNECTING = 0;
    readonly OPEN = 1;
    readonly CLOSED = 2;
    readonly url: string;
    readonly withCredentials: boolean;
    constructor(url: string | URL, { withCredentials, headers }?: EventSourceOptions);
    get readyState(): 0 | 1 | 2;
    get onopen(): Handler<Event>;
    set onopen(f: Handler<Event>);
    get onmessage(): Handler<MessageEvent<string>>;
    set onmessage(f: Handler<MessageEvent<string>>);
    get onerror(): Handler<Event>;
    set onerror(f: Handler<Event>);
    addEventListener(type: string, listener: ((this: EventSource, event: MessageEvent<string>) => unknown) | EventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
    removeEventListener(type: string, listener: ((this: EventSource, event: MessageEvent<string>) => unknown) | EventListenerObject | null, options?: boolean | EventListenerOptions): void;
    /** Closes the connection, which is not opened again. No event is dispatched afterwards. */
    close(): void;
}
export {};
