// Package terminal decides whether a stream is a terminal, and escapes text that could control one.
package terminal
