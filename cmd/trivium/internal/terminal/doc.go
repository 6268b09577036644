// Package terminal detects whether a stream is a terminal, and escapes characters that could control
// a terminal.
package terminal
