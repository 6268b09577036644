// Package terminal detects whether a stream is a terminal, and escapes strings that could control
// a terminal.
package terminal
