package auth

import (
	"bytes"
	"fmt"
)

// revokedComment begins a line that names no token.
const revokedComment = "#"

// SetRevoked takes the text of a file of revoked tokens in place of the one before: a jti in each
// line (RFC 7519 section 4.1.7). Blank lines and those that begin with # are passed over. If the
// file is larger than 16 MiB nothing changes.
func (j *JWT) SetRevoked(file []byte) error {
	if len(file) > maxFile {
		return fmt.Errorf("want at most %d bytes, got %d", maxFile, len(file))
	}
	file = bytes.TrimPrefix(file, []byte("\ufeff")) // of an editor; it would hide the first id
	ids := make(map[string]struct{})
	for line := range bytes.Lines(file) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && !bytes.HasPrefix(line, []byte(revokedComment)) {
			ids[string(line)] = struct{}{}
		}
	}
	j.revoked.Store(&ids)
	return nil
}

// isRevoked is false for "", the id of tokens that have none.
func (j *JWT) isRevoked(id string) bool {
	_, ok := (*j.revoked.Load())[id]
	return ok
}
