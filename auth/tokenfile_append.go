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

// TokenEntry is a token to be put in a tokens file. It is not the token that stands there.
type TokenEntry struct {
	Name      string // 1 to 128 bytes of printable characters, of no other entry
	Token     string
	Subscribe []hub.Filter
	Publish   []hub.Filter
	Expires   time.Time // zero: never
}

// entryText is an entry as it is written.
type entryText struct {
	Name      string   `yaml:"name"`
	SHA256    string   `yaml:"sha256"`
	Subscribe []string `yaml:"subscribe,flow,omitempty"`
	Publish   []string `yaml:"publish,flow,omitempty"`
	Expires   string   `yaml:"expires,omitempty"`
}

// AppendToken gives the text of a tokens file with an entry more at its end and all else as it
// stood, comments too. A file may be empty. The error says what is wrong with the file, that it
// has the name or the token already, or that the entry would not be good in it.
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
		return nil, errors.New("the list of tokens stands in brackets; write its entries in lines of their own, each after a hyphen")
	default:
		if text, err = cutBrackets(text, before.list); err != nil {
			return nil, err
		}
		if !before.mapping {
			indent = ""
		}
	}
	added, wanted, err := entry.spell(indent)
	if err != nil {
		return nil, err
	}
	result := []byte(endLine(text) + added)
	after, err := parseTokens(result)
	if err != nil {
		return nil, fmt.Errorf("with the new entry: %w", err)
	}
	// YAML has many ways to end a file; whatever this one's is, nobody's rights have changed.
	last := len(after.entries) - 1
	same := last == len(before.entries) && after.entries[last].equal(wanted)
	for i, e := range before.entries {
		same = same && after.entries[i].equal(e)
	}
	if !same {
		return nil, errors.New("the file's form leaves no place for an entry at its end")
	}
	return result, nil
}

// spell gives the entry's text, and what it must be read as.
func (e TokenEntry) spell(indent string) (text string, wanted tokenEntry, err error) {
	wanted = tokenEntry{
		name:      e.Name,
		hash:      sha256.Sum256([]byte(e.Token)),
		subscribe: hub.NewFilterSet(e.Subscribe...),
		publish:   hub.NewFilterSet(e.Publish...),
		expires:   e.Expires,
		limits:    entryLimits{unsaid, unsaid, unsaid},
	}
	spelled := entryText{
		Name:      e.Name,
		SHA256:    hex.EncodeToString(wanted.hash[:]),
		Subscribe: spellFilters(e.Subscribe),
		Publish:   spellFilters(e.Publish),
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

func spellFilters(filters []hub.Filter) []string {
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

// cutBrackets takes an empty list in brackets out of the text.
func cutBrackets(text string, list *yaml.Node) (string, error) {
	lines := strings.SplitAfter(text, "\n")
	line := lines[list.Line-1]
	start := strings.Index(line, "[")
	end := strings.Index(line, "]")
	if start < 0 || end < start || strings.TrimSpace(line[start+1:end]) != "" {
		return "", errors.New("the empty list of tokens is not written as []")
	}
	rest := strings.TrimRight(line[:start], " ") + line[end+1:]
	if strings.TrimSpace(rest) == "" {
		rest = ""
	}
	lines[list.Line-1] = rest
	return strings.Join(lines, ""), nil
}
