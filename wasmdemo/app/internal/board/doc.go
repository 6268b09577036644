// Package board holds the state of the demo page: the events of each column, and the comparison of
// the columns. It does not use the DOM, so tests run natively. The page reads it once per frame.
//
// The goroutines of the columns' connections write to a Board, and the page's goroutine reads it;
// the Board's mutex guards everything. A Board starts no goroutine. A Connection owns one client
// and the goroutine of Connection.Run. That goroutine ends with its context, after everything that
// it started has ended.
package board
