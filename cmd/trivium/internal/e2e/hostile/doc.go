// Package hostile contains tests that attack the running program over real sockets and check that
// other clients are not affected. docs/security.md lists the attacks.
package hostile
