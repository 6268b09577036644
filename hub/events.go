package hub

import (
	"context"
	"fmt"
	"iter"
)

// GapError is the error that Events yields for a gap. It does not end the iteration.
type GapError struct{ Gap Gap }

func (e *GapError) Error() string {
	if e.Gap.Certain {
		return fmt.Sprintf("events were lost (%s)", e.Gap.Reason)
	}
	return fmt.Sprintf("events may have been lost (%s)", e.Gap.Reason)
}

// eventsLimit limits how much the iterator of Hub.Events reads at a time.
var eventsLimit = ReadLimit{Events: 256, Bytes: 1 << 20}

// Events returns an iterator over the events that match one of the filters, or over all events if there are none.
// It begins with the first event published after the iteration starts.
//
//	for e, err := range h.Events(ctx, "orders.>") { … }
//
// The iterator yields each event once, in the order of the log, with a nil error. A slow loop does not
// delay other subscribers. If retention removes events before the loop has read them, the iterator
// yields a *GapError and continues. Any other error ends the iteration: an *InvalidError for a filter,
// ErrClosed, or context.Cause(ctx).
//
// Events must not be changed.
func (h *Hub) Events(ctx context.Context, filters ...string) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		set, err := parseFilters(filters)
		if err != nil {
			yield(nil, err)
			return
		}
		wakeup := NewWakeup()
		s, err := h.Subscribe(Request{Filters: set}, wakeup)
		if err != nil {
			yield(nil, err)
			return
		}
		defer s.Close()
		for {
			batch := s.Read(eventsLimit)
			if batch.Gap != nil && !yield(nil, &GapError{*batch.Gap}) {
				return
			}
			for _, e := range batch.Events {
				if ctx.Err() != nil {
					break
				}
				if !yield(e, nil) {
					return
				}
			}
			if err := h.waitReadable(ctx, s, batch, wakeup); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// waitReadable blocks until the subscription may have more to read. batch is the result of the latest Read.
func (h *Hub) waitReadable(ctx context.Context, s *Subscription, batch ReadResult, wakeup Wakeup) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case batch.More:
		s.WaitTurn()()
		return nil
	case len(batch.Events) > 0 || batch.Gap != nil:
		return nil
	}
	select {
	case <-wakeup:
		return nil
	case <-h.closing.Done():
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// parseFilters parses the filters and returns them as a set. If there are none, the set contains
// Everything.
func parseFilters(texts []string) (FilterSet, error) {
	if len(texts) == 0 {
		return NewFilterSet(Everything), nil
	}
	filters := make([]Filter, len(texts))
	for i, text := range texts {
		filter, err := ParseFilter(text)
		if err != nil {
			return FilterSet{}, err
		}
		filters[i] = filter
	}
	return NewFilterSet(filters...), nil
}
