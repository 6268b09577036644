package hub

// Attachment links an event to an object of a transport, for example to the encodings of the event. The
// object embeds the Attachment, so that attaching it needs no further allocation. The hub does not use
// the object itself.
type Attachment struct {
	Owner Owner // the object; must not change once it is attached
}

// Owner is notified when its Attachment is dropped because the event has left the in-memory log.
type Owner interface {
	// Discard is called at most once. It is not called for an attachment that Detach has removed. It
	// must not block, nor call the hub, because Hub.mu may be held.
	Discard()
}

// noMore replaces the attachment of an event that has left the in-memory log.
var noMore = new(Attachment)

// Retained reports whether the event is in the in-memory log.
func (e *Event) Retained() bool {
	return e.removedTo != nil && e.removedTo.Load() < e.ID.Seq && e.attachment.Load() != noMore
}

// Attached returns the owner of the event's attachment, or nil if it has none.
func (e *Event) Attached() Owner {
	if a := e.attachment.Load(); a != nil {
		return a.Owner
	}
	return nil
}

// Attach stores the attachment a in the event until Detach removes it or the event leaves the in-memory
// log. It returns false if the event already has an attachment or is not in the in-memory log.
func (e *Event) Attach(a *Attachment) bool {
	if e.removedTo == nil || !e.attachment.CompareAndSwap(nil, a) {
		return false
	}
	if e.removedTo.Load() < e.ID.Seq {
		return true
	}
	// The event is being removed, or was removed before. If Detach fails, dropAttachment has already
	// dropped the attachment.
	return !e.Detach(a)
}

// Detach removes the attachment a without notifying its owner. It returns false if a is not attached to
// the event.
func (e *Event) Detach(a *Attachment) bool { return e.attachment.CompareAndSwap(a, nil) }

// dropAttachment drops the attachment and notifies its owner. The event accepts no further attachment.
func (e *Event) dropAttachment() {
	if a := e.attachment.Swap(noMore); a != nil && a != noMore {
		a.Owner.Discard()
	}
}
