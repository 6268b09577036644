// Package reload rereads files when their content changes: tokens, keys, certificates and lists of revoked tokens.
//
// Watch loads a file, or a group of files, and registers it. Run polls the registered files and owns them from then on;
// the caller runs it in a goroutine and waits for its end. Reload makes Run read all files at once, and may be called
// from any goroutine, as may Stats.
package reload
