import { type ReactElement, type ReactNode } from "react";
import type { Gap, Options, State, TriviumEvent } from "./trivium.js";
/** The state of a provider's connection. */
export interface ProviderState extends State {
    /** The newest gap: events of the subscribed topics were lost, or may have been lost. */
    readonly gap?: Gap;
}
/** The options of a provider: the options of `connect` except the topics and the start position, which the hooks determine. */
export type ProviderOptions = Omit<Options, "topics" | "cursor" | "last" | "since" | "state" | "storage">;
/**
 * Shares one connection among the components in it. In the browser, the first mounted `useTopic` opens the connection, and
 * the last unmounted one closes it. Later changes of the options have no effect: to apply them, change the `key` of the
 * provider, too.
 */
export declare function TriviumProvider({ children, ...options }: ProviderOptions & {
    children?: ReactNode;
}): ReactElement;
/** The options of `useTopic` without `reduce`. */
export interface TopicOptions {
    /**
     * The number of retained events to start with, 0 to 1000. Without `reduce` it is also the number of events that the hook
     * keeps, at least one. Default: 100.
     */
    last?: number;
    /** Reserved for a later version of the protocol. */
    state?: never;
}
/** The options of `useTopic` with `reduce`. */
export interface ReduceOptions<T, S> extends TopicOptions {
    /** Returns the next value, as a reducer of `useReducer` does. The first value is undefined. The function must be pure. */
    reduce: (value: S | undefined, event: TriviumEvent<T>) => S;
}
/**
 * Returns the newest events of a topic filter, oldest first; with `reduce`, the value that the reducer has computed from the
 * events. Each event counts once, and in order. If the hub refuses the topic, the hook throws the error, so that an error
 * boundary can show it.
 */
export declare function useTopic<T = unknown>(topic: string, options?: TopicOptions): readonly TriviumEvent<T>[];
export declare function useTopic<T, S>(topic: string, options: ReduceOptions<T, S>): S | undefined;
/** Returns the state of the provider's connection, and the newest gap. */
export declare function useTriviumState(): ProviderState;
