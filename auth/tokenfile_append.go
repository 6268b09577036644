package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/trivium-hub/trivium/hub"
)

// TokenEntry describes an entry to be added to a tokens file. The file contains the hash of the
// token, not the token itself.
type TokenEntry struct {
	Name      string // unique; 1 to 128 bytes of printable characters
	Token     string
	Subscribe []hub.Filter
	Publish   []hub.Filter
	Expires   time.Time // zero: never
}

// entryText is the YAML representation of an entry.
type entryText struct {
	Name      string   `yaml:"name"`
	SHA256    string   `yaml:"sha256"`
	Subscribe []string `yaml:"subscribe,flow,omitempty"`
	Publish   []string `yaml:"publish,flow,omitempty"`
	Expires   string   `yaml:"expires,omitempty"`
}

// AppendToken returns the content of a tokens file with a new entry at the end. The rest of the
// file, including comments, is unchanged. The file may be empty. AppendToken returns an error if
// the file or the entry is invalid, or if the file already contains the name or the token.
func AppendToken(file []byte, entry TokenEntry) ([]byte, error) {
	if detail := checkTokenName(entry.Name); detail != "" {
		return nil, errors.New("name: " + detail)
	}
	before, err := parseTokens(file)
	if err != nil && !errors.Is(err, errNoTokens) {
		return nil, err
	}
	if before != nil {
		for i, e := range before.entries {
			if e.name == entry.Name {
				return nil, fmt.Errorf("entry %d has the name %q already", i+1, e.name)
			}
		}
	}
	text, indent := string(file), "  "
	switch {
	case before == nil:
		before = new(tokenFile)
		text = endLine(text) + "tokens:\n"
	case before.list.Style&yaml.FlowStyle == 0:
		indent = strings.Repeat(" ", before.list.Column-1)
	case len(before.list.Content) > 0:
		return nil, errors.New("the list of tokens is in brackets; write its entries on separate lines, each after a hyphen")
	default:
		if text, err = cutBrackets(text, before.list); err != nil {
			return nil, err
		}
		if !before.mapping {
			indent = ""
		}
	}
	added, wanted, err := entry.encode(indent)
	if err != nil {
		return nil, err
	}
	result := []byte(endLine(text) + added)
	after, err := parseTokens(result)
	if err != nil {
		return nil, fmt.Errorf("the file would be invalid with the new entry: %w", err)
	}
	// The end of a YAML file has many possible forms, so parse the result and check that all other
	// entries are unchanged.
	last := len(after.entries) - 1
	same := last == len(before.entries) && after.entries[last].equal(wanted)
	for i, e := range before.entries {
		same = same && after.entries[i].equal(e)
	}
	if !same {
		return nil, errors.New("an entry appended at the end of this file would be read differently or change another entry; add the entry by hand")
	}
	return result, nil
}

// encode returns the entry as YAML, and the entry that a parser must read from it.
func (e TokenEntry) encode(indent string) (text string, wanted tokenEntry, err error) {
	wanted = tokenEntry{
		name:      e.Name,
		hash:      sha256.Sum256([]byte(e.Token)),
		subscribe: hub.NewFilterSet(e.Subscribe...),
		publish:   hub.NewFilterSet(e.Publish...),
		expires:   e.Expires,
		limits:    entryLimits{unset, unset, unset},
	}
	spelled := entryText{
		Name:      e.Name,
		SHA256:    hex.EncodeToString(wanted.hash[:]),
		Subscribe: filterStrings(e.Subscribe),
		Publish:   filterStrings(e.Publish),
	}
	if !e.Expires.IsZero() {
		spelled.Expires = e.Expires.UTC().Format(time.RFC3339Nano)
	}
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode([]entryText{spelled}); err != nil {
		return "", wanted, err
	}
	for line := range strings.Lines(b.String()) {
		text += indent + line
	}
	return text, wanted, nil
}

func filterStrings(filters []hub.Filter) []string {
	texts := make([]string, len(filters))
	for i, f := range filters {
		texts[i] = f.String()
	}
	return texts
}

func endLine(text string) string {
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text
}

// cutBrackets removes an empty list in brackets, "[]", from the file.
func cutBrackets(text string, list *yaml.Node) (string, error) {
	lines := strings.SplitAfter(text, "\n")
	line := lines[list.Line-1]
	start := strings.Index(line, "[")
	end := strings.Index(line, "]")
	if start < 0 || end < start || strings.TrimSpace(line[start+1:end]) != "" {
		return "", errors.New("want the empty list of tokens as [] on one line")
	}
	rest := strings.TrimRight(line[:start], " ") + line[end+1:]
	if strings.TrimSpace(rest) == "" {
		rest = ""
	}
	lines[list.Line-1] = rest
	return strings.Join(lines, ""), nil
}
