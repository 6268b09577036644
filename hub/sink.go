package hub

// Sink is notified when a subscription has events to read. Connection writers and Wakeup implement
// it.
type Sink interface {
	// Ready notifies the subscriber. A fan-out worker calls it with a batch of events for the subscription. The replay
	// reader and the locator call it with an empty batch when a Read that returned Waiting can continue. Ready must not
	// block. Calls may overlap, and it may be called once more after Subscription.Close has returned.
	Ready(r *Batch)
}

// Wakeup is a Sink that sends a notification on its channel when Ready is called.
type Wakeup chan struct{}

// NewWakeup returns a new Wakeup.
func NewWakeup() Wakeup { return make(Wakeup, 1) }

// Ready implements Sink.
func (b Wakeup) Ready(*Batch) { b.Wake() }

// Wake sends a notification, unless one is pending.
func (b Wakeup) Wake() { wake(b) }

// wake sends a signal on a channel of capacity 1, unless one is pending.
func wake(wakeup chan struct{}) {
	select {
	case wakeup <- struct{}{}:
	default:
	}
}
