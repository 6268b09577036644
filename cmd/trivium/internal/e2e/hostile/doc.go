// Package hostile contains tests that start hubs as processes, attack them over real sockets, and
// check that other clients are not affected. docs/security.md lists the attacks.
package hostile
