package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Syntax of a file of revoked tokens.
const (
	revokedComment = "#"
	revokedSubject = "sub:"
	revokedBefore  = "before:"
)

// maxRevokedFaults is the maximum number of invalid lines that an error describes.
const maxRevokedFaults = 20

// revocations is a parsed file of revoked tokens.
type revocations struct {
	ids map[string]struct{}
	// subjects maps each revoked sub to a time. Tokens with that sub are revoked if they were
	// issued before the time. The zero time revokes all of them.
	subjects map[string]time.Time
}

// SetRevoked replaces the list of revoked tokens by the content of a file. Each line is one of
//
//	ID                      the token with that jti (RFC 7519 section 4.1.7)
//	sub:NAME                all tokens with that sub
//	sub:NAME before:TIME    all tokens with that sub whose iat is before the time (RFC 3339) or absent
//
// NAME contains no white space and does not begin with a quote, or is a JSON string. If several
// lines name the same sub, only the line that revokes the most tokens has an effect. A line that
// begins with sub: also revokes the token whose jti equals the whole line. Blank lines and lines
// that begin with # are comments. If a line is invalid, or the file is larger than 16 MiB, nothing
// changes, and the error describes the invalid lines.
func (j *JWT) SetRevoked(file []byte) error {
	if len(file) > maxFile {
		return fmt.Errorf("want at most %d bytes, got %d", maxFile, len(file))
	}
	file = bytes.TrimPrefix(file, []byte("\ufeff")) // otherwise a byte order mark would be part of the first ID
	if i := bytes.IndexFunc(file, notInText); i >= 0 {
		line := 1 + bytes.Count(file[:i], []byte("\n"))
		return fmt.Errorf("line %d: want text in UTF-8 without control characters", line)
	}
	if before := j.revoked.Load(); len(file) == 0 && len(before.ids)+len(before.subjects) > 0 {
		return errors.New("want revoked tokens, but the file is empty; if no token is revoked, write a line that begins with #")
	}
	revoked, err := parseRevoked(string(file))
	if err != nil {
		return err
	}
	j.revoked.Store(revoked)
	return nil
}

func parseRevoked(file string) (*revocations, error) {
	r := &revocations{ids: make(map[string]struct{}), subjects: make(map[string]time.Time)}
	var faults []error
	number := 0
	for line := range strings.Lines(file) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, revokedComment) {
			continue
		}
		r.ids[line] = struct{}{}
		rest, ok := strings.CutPrefix(line, revokedSubject)
		if !ok {
			continue
		}
		if err := r.addSubject(rest); err != nil {
			faults = append(faults, fmt.Errorf("line %d: %w", number, err))
		}
		if len(faults) == maxRevokedFaults {
			faults = append(faults, errors.New("there may be more errors"))
			break
		}
	}
	return r, errors.Join(faults...)
}

// addSubject adds a line of the form "sub:…". text is the rest of the line after "sub:".
func (r *revocations) addSubject(text string) error {
	name, rest, err := cutSubject(text)
	switch {
	case err != nil:
		return err
	case name == "" || !isPlainClaim(name):
		return fmt.Errorf("want, after sub:, a subject of 1 to %d bytes without control characters", maxClaimLen)
	}
	var before time.Time
	if rest != "" {
		date, ok := strings.CutPrefix(rest, revokedBefore)
		if before, err = time.Parse(time.RFC3339, date); !ok || err != nil {
			return errors.New("want a time such as before:2026-11-28T12:00:00Z after the subject, or nothing; " +
				"put a subject with spaces in double quotes")
		}
	}
	if known, again := r.subjects[name]; again && (known.IsZero() || !before.IsZero() && before.Before(known)) {
		return nil
	}
	r.subjects[name] = before
	return nil
}

// cutSubject splits text into the subject at its beginning and the rest.
func cutSubject(text string) (name, rest string, err error) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexFunc(text, unicode.IsSpace)
		if end < 0 {
			end = len(text)
		}
		return text[:end], strings.TrimSpace(text[end:]), nil
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	if decoder.Decode(&name) != nil {
		return "", "", errors.New("want a subject in double quotes as a JSON string, with the closing quote")
	}
	return name, strings.TrimSpace(text[decoder.InputOffset():]), nil
}

// notInText reports whether a rune is a control character other than white space, or invalid UTF-8.
func notInText(r rune) bool {
	return r == utf8.RuneError || unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t'
}

// isRevoked reports whether a token with these claims is revoked. "" and the zero time stand for
// absent claims.
func (j *JWT) isRevoked(id, subject string, issued time.Time) bool {
	revoked := j.revoked.Load()
	if _, ok := revoked.ids[id]; ok {
		return true
	}
	before, ok := revoked.subjects[subject]
	return ok && (before.IsZero() || issued.Before(before))
}
