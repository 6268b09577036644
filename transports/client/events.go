package client

import (
	"context"
	"errors"
	"iter"
)

// delivery is what run hands to the program: an event, or word that the program stands later by now.
type delivery struct {
	event *Event
	id    string
}

func (d delivery) size() int {
	if d.event == nil {
		return 0
	}
	return len(d.event.Data)
}

var errTwoReaders = errors.New("client: the events are being read already")

// Events gives the events in order, each once. The last pair has the error for which there are no
// more: *FinalError, ErrClosed, or ctx's. While the loop's body runs, Cursor is that of the event it
// has. A loop that was left can be taken up by another; two at once are an error. A client whose
// events nobody takes stops reading, and catches up later from the hub's log.
func (c *Client) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if !c.reading.CompareAndSwap(false, true) {
			yield(Event{}, errTwoReaders)
			return
		}
		defer c.reading.Store(false)
		for {
			e, err := c.next(ctx)
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Handle calls handle with each event, as Events gives them, until it returns an error, which Handle
// returns.
func (c *Client) Handle(ctx context.Context, handle func(Event) error) error {
	for e, err := range c.Events(ctx) {
		if err == nil {
			err = handle(e)
		}
		if err != nil {
			return err
		}
	}
	return nil // not reached: the last pair has an error
}

// next waits for the next event.
func (c *Client) next(ctx context.Context) (Event, error) {
	for {
		if err := ctx.Err(); err != nil {
			return Event{}, err
		}
		var d delivery
		select {
		case d = <-c.deliveries:
		case <-ctx.Done():
			continue
		case <-c.done:
			if len(c.rest) == 0 {
				return Event{}, c.end
			}
			d, c.rest = c.rest[0], c.rest[1:]
		}
		c.cursor.Store(&d.id)
		if d.event != nil {
			c.count(d.event)
			return *d.event, nil
		}
	}
}

func (c *Client) count(e *Event) {
	if e.Gap != nil {
		c.stats.gaps.Add(1)
	} else {
		c.stats.delivered.Add(1)
	}
}
