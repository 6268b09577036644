package hub

// GapReason says why events are missing (PROTOCOL section 3).
type GapReason string

// The reasons of a gap.
const (
	GapExpired GapReason = "expired" // retention had let them go
	GapEpoch   GapReason = "epoch"   // the cursor is of another life of the log
	GapFuture  GapReason = "future"  // the cursor is past the end of the log
)

// Gap tells a subscriber that events of its filters are lost to it.
type Gap struct {
	Reason GapReason
	// After is the subscriber's cursor, as text since it may be of another hub, or of none. It is
	// empty where there was none, a start by time, and where it was no text or a long one.
	After string
	// ResumedAt is where reading goes on: resuming after it yields what follows the gap.
	ResumedAt Cursor
	// Certain means that something that matches was removed; otherwise it may have been.
	Certain bool
}
