// Package reload reads files again when their content changes: tokens, keys, certificates and lists of revoked tokens.
//
// Watch loads a file, or a group of files, and registers it. Run polls the registered files. The caller runs Run in a
// goroutine and waits until it returns; Watch must not be called after Run. Reload makes Run read all files immediately.
// Reload and Stats may be called from any goroutine.
package reload
