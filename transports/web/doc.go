// Package web is what the HTTP adapters have in common before their answer begins: how a refusal
// is written, and how an adapter learns what a request may do. It starts no goroutine.
package web
