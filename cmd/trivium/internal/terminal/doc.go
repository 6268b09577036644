// Package terminal finds out whether a stream is a terminal, and escapes text that could control
// one.
package terminal
