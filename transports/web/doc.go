// Package web is what the HTTP adapters have in common before their answer begins: what a request
// asks for in its query, whether its grant allows that, and how a refusal is written. It starts no
// goroutine.
package web
