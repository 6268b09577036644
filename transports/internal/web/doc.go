// Package web is shared by the HTTP transports, for everything before their answer begins: the
// rights of a request and how long they last ([Access]), its query parameters, its authorization,
// and how a refusal is written and counted. It starts no goroutine.
package web
