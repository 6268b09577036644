package hub

// Attachment is a part of an object that a transport keeps with an event, for example of the encodings of the event.
// The object embeds the Attachment, so that attaching it needs no further allocation. The hub does not use the object
// itself.
type Attachment struct {
	Owner Owner // the object; static after it was attached
}

// Owner is notified when its Attachment is dropped because the event has left the in-memory log.
type Owner interface {
	// Discard is called at most once. It is not called if Detach has removed the attachment before. It must not block, nor
	// call the hub, because Hub.mu may be held.
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

// Attach keeps a with the event until Detach, or until the event leaves the in-memory log. It reports false if the event
// has an attachment already or is not in the in-memory log.
func (e *Event) Attach(a *Attachment) bool {
	if e.removedTo == nil || !e.attachment.CompareAndSwap(nil, a) {
		return false
	}
	if e.removedTo.Load() < e.ID.Seq {
		return true
	}
	// The event is being removed, or was removed before. If Detach fails, the attachment has been dropped.
	return !e.Detach(a)
}

// Detach removes a without notifying its owner. It reports false if the event does not have a.
func (e *Event) Detach(a *Attachment) bool { return e.attachment.CompareAndSwap(a, nil) }

// dropAttachment drops the attachment and notifies its owner. The event accepts no further attachment.
func (e *Event) dropAttachment() {
	if a := e.attachment.Swap(noMore); a != nil && a != noMore {
		a.Owner.Discard()
	}
}
