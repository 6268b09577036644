package hub

import "time"

// Start says where a subscription begins. At most one of its members is set; the zero Start is
// the position of the newest event, so that the next one comes first.
type Start struct {
	// Cursor: after this position.
	Cursor *Cursor
	// Foreign: the text of a position that is no cursor of any hub; it is answered as a cursor
	// of another epoch.
	Foreign string
	// Last: with the newest Last retained events of the filters, at most MaxLast.
	Last int
	// Since: with the first event accepted no earlier, be that a time to come.
	Since time.Time
}

// MaxLast bounds Start.Last.
const MaxLast = 1000
