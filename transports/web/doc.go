// Package web is what the HTTP adapters have in common before their answer begins: what a request may
// do and for how long ([Access]), what it asks for in its query, whether its grant allows that, and
// how a refusal is written and counted. It starts no goroutine.
package web
