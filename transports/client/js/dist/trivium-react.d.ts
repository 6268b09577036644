import { type ReactElement, type ReactNode } from "react";
import type { Gap, Options, State, TriviumEvent } from "./trivium.js";
/** The state of a provider's connection. */
export interface ProviderState extends State {
    /** The gap that was reported last: events that the components subscribe to were lost, or may have been. */
    readonly gap?: Gap;
}
/** The options of a provider: those of `connect`, but the topics and where to start, which the hooks determine. */
export type ProviderOptions = Omit<Options, "topics" | "cursor" | "last" | "since" | "storage">;
/**
 * Holds the one connection of the components in it. The connection is opened in the browser when the first `useTopic`
 * is mounted, and closed when the last one is gone. Later changes of the options have no effect: give the provider
 * another `key` with them.
 */
export declare function TriviumProvider({ children, ...options }: ProviderOptions & {
    children?: ReactNode;
}): ReactElement;
/** The options of `useTopic` without `reduce`. */
export interface TopicOptions {
    /**
     * How many of the retained events to start with, 0 to 1000. Without `reduce`, the hook also keeps so many, and at
     * least one. Default: 100.
     */
    last?: number;
    /** Reserved for a later version of the protocol. */
    state?: never;
}
/** The options of `useTopic` with `reduce`. */
export interface ReduceOptions<T, S> extends TopicOptions {
    /** Returns the next value, as the reducer of `useReducer` does. The first value is undefined. It must be pure. */
    reduce: (value: S | undefined, event: TriviumEvent<T>) => S;
}
/**
 * Returns the newest events of a topic filter, oldest first; with `reduce`, what the reducer has made of the events.
 * Each event counts once, and in order. If the hub refuses the topic, the error is thrown, so that an error boundary
 * shows it.
 */
export declare function useTopic<T = unknown>(topic: string, options?: TopicOptions): readonly TriviumEvent<T>[];
export declare function useTopic<T, S>(topic: string, options: ReduceOptions<T, S>): S | undefined;
/** Returns the state of the provider's connection, and the gap that was reported last. */
export declare function useTriviumState(): ProviderState;
