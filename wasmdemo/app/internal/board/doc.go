// Package board is the state of the demo page: which events arrived in which column, and how the columns
// compare. It does not use the DOM, so it is tested natively; the page reads it once per frame.
//
// The goroutines of the columns' connections write a Board and the page's goroutine reads it; its mutex guards
// everything. A Board starts no goroutine. A Connection owns one client and the goroutine of Connection.Run,
// which ends with its context after everything that it started has ended.
package board
