package auth

import (
	"bytes"
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"
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
	if i := bytes.IndexFunc(file, notInText); i >= 0 {
		line := 1 + bytes.Count(file[:i], []byte("\n"))
		return fmt.Errorf("line %d: want text in UTF-8 without control characters", line)
	}
	if len(file) == 0 && len(*j.revoked.Load()) > 0 {
		return errors.New("want ids, the file is empty; a line that begins with # does for none")
	}
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

// notInText finds what no editor writes, and the bytes that are not UTF-8.
func notInText(r rune) bool {
	return r == utf8.RuneError || unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t'
}

// isRevoked is false for "", the id of tokens that have none.
func (j *JWT) isRevoked(id string) bool {
	_, ok := (*j.revoked.Load())[id]
	return ok
}
