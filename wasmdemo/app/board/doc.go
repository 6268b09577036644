// Package board is what the demo page knows: which events came by which column and what follows
// from it. It has no DOM in it, so all of it is tested natively; the page reads it once a frame.
//
// A Board is written by the goroutines of the columns' roads, as events come, and read by the
// page's; its mutex guards all that it has. It starts no goroutine. A Road owns one client and the
// goroutine that takes its events: that of Road.Run, which ends when its context does and has
// waited for all it started.
package board
