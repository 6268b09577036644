package client

import (
	"context"
	"errors"
	"iter"
)

// delivery is what the goroutine run passes to the caller of Events: an event, or a newer position
// without an event.
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

var errTwoReaders = errors.New("client: another loop over Events is already running")

// Events returns an iterator that yields each event once and in order. The last pair contains the
// error that ended the iterator: a *FinalError, ErrClosed, or the error of ctx. In the body of the
// loop, Cursor is the position of the current event. Only one loop can run at a time; a second one
// gets an error. A later loop continues after the last event of the previous one. While no loop
// runs, the client stops reading; it catches up later from the hub's log.
func (c *Client) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if !c.reading.CompareAndSwap(false, true) {
			yield(Event{}, errTwoReaders)
			return
		}
		defer c.reading.Store(false)
		for {
			e, err := c.nextEvent(ctx)
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Handle calls handle with each event, until handle or Events returns an error. It returns that
// error.
func (c *Client) Handle(ctx context.Context, handle func(Event) error) error {
	for e, err := range c.Events(ctx) {
		if err == nil {
			err = handle(e)
		}
		if err != nil {
			return err
		}
	}
	return nil // not reached, because the last pair contains an error
}

// nextEvent blocks until there is an event, or the client or ctx has ended.
func (c *Client) nextEvent(ctx context.Context) (Event, error) {
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
			if len(c.leftover) == 0 {
				return Event{}, c.endErr
			}
			d, c.leftover = c.leftover[0], c.leftover[1:]
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
