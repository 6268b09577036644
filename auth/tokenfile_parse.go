package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/trivium-hub/trivium/hub"
)

// Limits of a tokens file.
const (
	maxFile       = 16 << 20 // bytes; also of a file of revoked tokens
	maxNameLen    = 128      // bytes
	maxFilters    = 1024     // number of filters per list
	maxLimit      = 1 << 30
	maxTokenFault = 100 // maximum number of faults that one error describes
)

// errNoTokens is returned for an empty file. An editor may empty the file before it writes the new
// content. Without this error, the empty file would revoke every token.
var errNoTokens = errors.New("want a list of tokens, but the file is empty; tokens: [] is an empty list")

// tokenFile is a parsed tokens file.
type tokenFile struct {
	entries []tokenEntry
	mapping bool       // whether the list is under the key tokens
	list    *yaml.Node // the list of entries
}

// tokenParser parses entries and collects the faults.
type tokenParser struct {
	faults []error
	more   int // number of further faults, which are not listed
	names  map[string]int
	hashes map[[sha256.Size]byte]int
	// sets caches parsed lists, because YAML aliases can put one list into every entry.
	sets map[*yaml.Node]hub.FilterSet
}

// parseTokens parses a tokens file: a list of entries, or a mapping whose key "tokens" has such a
// list as its value. The error lists all faults. It is errNoTokens for a file without content.
func parseTokens(file []byte) (*tokenFile, error) {
	if len(file) > maxFile {
		return nil, fmt.Errorf("want at most %d bytes, got %d", maxFile, len(file))
	}
	var document yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(file))
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, errNoTokens
	case err != nil:
		return nil, yamlError(err)
	}
	p := &tokenParser{
		names:  map[string]int{},
		hashes: map[[sha256.Size]byte]int{},
		sets:   map[*yaml.Node]hub.FilterSet{},
	}
	parsed := &tokenFile{list: document.Content[0]}
	if root := parsed.list; root.Kind == yaml.MappingNode {
		parsed.mapping = true
		parsed.list = p.members(root, "", []string{"tokens"})["tokens"]
		if parsed.list == nil {
			p.fault(root.Line, "", "tokens is missing")
			parsed.list = &yaml.Node{Kind: yaml.SequenceNode}
		}
	}
	if parsed.list.Kind != yaml.SequenceNode {
		p.fault(parsed.list.Line, "", "want a list of tokens; [] is an empty list")
	} else {
		for i, node := range parsed.list.Content {
			parsed.entries = append(parsed.entries, p.entry(deref(node), i+1))
		}
	}
	switch err := decoder.Decode(new(yaml.Node)); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, yamlError(err)
	default:
		p.fault(0, "", "want one YAML document, got more")
	}
	if p.more > 0 {
		p.faults = append(p.faults, fmt.Errorf("and %d more", p.more))
	}
	if len(p.faults) > 0 {
		return nil, errors.Join(p.faults...)
	}
	return parsed, nil
}

func yamlError(err error) error {
	return errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
}

// deref returns the node that an alias refers to, or the node itself. Aliases let entries share
// rights.
func deref(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

// fault records a fault. If line is 0, the fault concerns the whole file. The parameter where
// contains the names of the entry and the key; it may be "".
func (p *tokenParser) fault(line int, where, detail string) {
	if len(p.faults) == maxTokenFault {
		p.more++
		return
	}
	text := detail
	if where != "" {
		text = where + ": " + text
	}
	if line > 0 {
		text = "line " + strconv.Itoa(line) + ": " + text
	}
	p.faults = append(p.faults, errors.New(text))
}

// members returns the values of a mapping by key, and records a fault for each unknown or duplicate
// key.
func (p *tokenParser) members(node *yaml.Node, where string, known []string) map[string]*yaml.Node {
	values := make(map[string]*yaml.Node, len(known))
	lines := make(map[string]int, len(known))
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		name, isText := "", key.Kind == yaml.ScalarNode
		for _, k := range known {
			if isText && key.Value == k {
				name = k
			}
		}
		switch {
		case name == "" && isText:
			p.fault(key.Line, where, fmt.Sprintf("unknown key %.64q, want %s", key.Value, strings.Join(known, ", ")))
		case name == "":
			p.fault(key.Line, where, "a key must be text; want "+strings.Join(known, ", "))
		case lines[name] > 0:
			p.fault(key.Line, where, fmt.Sprintf("%s is in line %d already", name, lines[name]))
		default:
			lines[name] = key.Line
			values[name] = deref(node.Content[i+1])
		}
	}
	return values
}

// entry parses one entry; number is its position in the list.
func (p *tokenParser) entry(node *yaml.Node, number int) tokenEntry {
	where := "entry " + strconv.Itoa(number)
	e := tokenEntry{limits: entryLimits{unset, unset, unset}}
	if node.Kind != yaml.MappingNode {
		p.fault(node.Line, where, "want keys and values, such as name: alice")
		return e
	}
	keys := []string{"name", "sha256", "subscribe", "publish", "expires", "limits"}
	// Errors name the entry by its name, even if the name is not the first key.
	for i := 0; i+1 < len(node.Content); i += 2 {
		if name := deref(node.Content[i+1]); node.Content[i].Value == keys[0] && checkTokenName(name.Value) == "" {
			where = fmt.Sprintf("%s (%s)", where, name.Value)
			break
		}
	}
	values := p.members(node, where, keys)
	for _, required := range keys[:2] {
		if values[required] == nil {
			p.fault(node.Line, where, required+" is missing")
		}
	}
	if v := values["name"]; v != nil {
		e.name = p.name(v, where)
	}
	if v := values["sha256"]; v != nil {
		e.hash = p.hash(v, where)
	}
	e.subscribe = p.filters(values["subscribe"], where+": subscribe")
	e.publish = p.filters(values["publish"], where+": publish")
	if v := values["expires"]; v != nil {
		if !isText(v) || e.expires.UnmarshalText([]byte(v.Value)) != nil {
			p.fault(v.Line, where, "expires: want an RFC 3339 time such as 2030-01-31T00:00:00Z")
		}
	}
	if v := values["limits"]; v != nil {
		p.limits(&e.limits, v, where+": limits")
	}
	return e
}

// isText reports whether a value is a scalar other than null. The YAML type does not matter,
// because a hash may look like a number.
func isText(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && node.Tag != "!!null"
}

func (p *tokenParser) name(node *yaml.Node, where string) string {
	detail := "want text"
	if isText(node) {
		detail = checkTokenName(node.Value)
	}
	if line := p.names[node.Value]; detail == "" && line > 0 {
		detail = fmt.Sprintf("line %d already has this name", line)
	}
	if detail != "" {
		p.fault(node.Line, where, "name: "+detail)
	}
	p.names[node.Value] = node.Line
	return node.Value
}

// checkTokenName returns the fault of a token's name, or "" if the name is valid.
func checkTokenName(name string) string {
	odd := func(r rune) bool { return !unicode.IsPrint(r) }
	if name == "" || len(name) > maxNameLen || !utf8.ValidString(name) || strings.ContainsFunc(name, odd) {
		return fmt.Sprintf("want 1 to %d bytes of printable characters", maxNameLen)
	}
	if strings.HasPrefix(name, subjectPrefix) {
		return "want a name that does not begin with " + subjectPrefix + ", as the subjects of JWTs do"
	}
	return ""
}

// hash parses a hash. Its errors do not contain the value, because a user may have put the token
// itself there by mistake.
func (p *tokenParser) hash(node *yaml.Node, where string) (hash [sha256.Size]byte) {
	decoded, err := hex.DecodeString(strings.TrimSpace(node.Value))
	if !isText(node) || err != nil || len(decoded) != len(hash) {
		p.fault(node.Line, where, "sha256: want the SHA-256 hash of a token, 64 hex digits")
		return hash
	}
	hash = [sha256.Size]byte(decoded)
	if line := p.hashes[hash]; line > 0 {
		p.fault(node.Line, where, fmt.Sprintf("sha256: line %d already has this hash", line))
	}
	p.hashes[hash] = node.Line
	return hash
}

// filters parses a list of filters. A nil node is an empty list.
func (p *tokenParser) filters(node *yaml.Node, where string) hub.FilterSet {
	if node == nil {
		return hub.NewFilterSet()
	}
	if set, ok := p.sets[node]; ok {
		return set
	}
	if node.Kind != yaml.SequenceNode {
		p.fault(node.Line, where, "want a list of topic filters, such as [orders.>]; [] is an empty list")
		return hub.NewFilterSet()
	}
	if len(node.Content) > maxFilters {
		p.fault(node.Line, where, fmt.Sprintf("want at most %d filters, got %d", maxFilters, len(node.Content)))
		return hub.NewFilterSet()
	}
	filters := make([]hub.Filter, 0, len(node.Content))
	for _, element := range node.Content {
		element = deref(element)
		if !isText(element) {
			p.fault(element.Line, where, "want a topic filter, such as orders.>")
			continue
		}
		filter, err := hub.ParseFilter(element.Value)
		if err != nil {
			p.fault(element.Line, where, fmt.Sprintf("%q: %s", element.Value, filterErrorDetail(err)))
			continue
		}
		filters = append(filters, filter)
	}
	set := hub.NewFilterSet(filters...)
	p.sets[node] = set
	return set
}

// filterErrorDetail returns the reason of an error, without the name of the parameter.
func filterErrorDetail(err error) string {
	var invalid *hub.InvalidError
	if errors.As(err, &invalid) {
		return invalid.Detail
	}
	return err.Error()
}

func (p *tokenParser) limits(limits *entryLimits, node *yaml.Node, where string) {
	keys := []string{"max-connections", "max-connect-rate", "max-publish-rate"}
	if node.Kind != yaml.MappingNode {
		p.fault(node.Line, where, "want keys and values, such as max-connections: 10")
		return
	}
	values := p.members(node, where, keys)
	for i, target := range []*int{&limits.Connections, &limits.ConnectRate, &limits.PublishRate} {
		value := values[keys[i]]
		if value == nil {
			continue
		}
		n, err := strconv.Atoi(value.Value)
		if err != nil || value.Tag != "!!int" || n < 0 || n > maxLimit {
			p.fault(value.Line, where, fmt.Sprintf("%s: want a whole number from 0 (no limit) to %d", keys[i], maxLimit))
			continue
		}
		*target = n
	}
}
