package hub

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of topics and filters (docs/protocol.md#topics).
const (
	MaxTopicLen    = 255 // bytes of UTF-8
	MaxTopicTokens = 16  // tokens separated by "."
)

const (
	anyToken = "*" // matches exactly one token
	anyTail  = ">" // matches one or more tokens; only as the last token
)

// ValidateTopic reports whether an event may be published on the topic. The error is an *InvalidError for the
// parameter "topic".
func ValidateTopic(topic string) error {
	if strings.HasPrefix(topic, "$") {
		return invalid("topic", "topics that begin with $ are reserved for the hub")
	}
	return checkTokens(topic, false)
}

// checkTokens checks the rules that topics and filters share. If wildcards is set, a token may be a wildcard.
func checkTokens(s string, wildcards bool) error {
	switch {
	case s == "":
		return invalid("topic", "a topic must have 1 to 255 bytes, this one is empty")
	case len(s) > MaxTopicLen:
		return invalid("topic", "a topic must have 1 to 255 bytes, this one is longer")
	case !utf8.ValidString(s):
		return invalid("topic", "a topic must be valid UTF-8")
	}
	tokens := 0
	for rest, more := s, true; more; {
		var token string
		token, rest, more = cutToken(rest)
		if tokens++; tokens > MaxTopicTokens {
			return invalid("topic", "a topic must have at most 16 tokens")
		}
		if token == "" {
			return invalid("topic", "a token of a topic must not be empty")
		}
		if wildcards && (token == anyToken || token == anyTail && !more) {
			continue
		}
		if err := checkToken(token); err != nil {
			return err
		}
	}
	return nil
}

// cutToken returns the first token of a topic or filter and the rest of it. strings.Cut returns the same, but is
// slower because its separator is a string.
func cutToken(s string) (token, rest string, more bool) {
	if i := strings.IndexByte(s, '.'); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

func checkToken(token string) error {
	if isPlain(token) {
		return nil
	}
	for _, r := range token {
		switch {
		case r == '*' || r == '>':
			return invalid("topic", "* and > are allowed only in filters: * as a whole token, > as the last one")
		case unicode.IsSpace(r):
			return invalid("topic", "a topic must not contain white space")
		case unicode.In(r, unicode.Cc, unicode.Cf):
			return invalid("topic", "a topic must not contain control or format characters")
		}
	}
	return nil
}

// isPlain reports whether the token consists of printable ASCII without wildcards, as almost all tokens do.
// Such a token is valid, so its characters need not be looked up in the tables of package unicode.
func isPlain(token string) bool {
	for i := range len(token) {
		if c := token[i]; c <= ' ' || c > '~' || c == '*' || c == '>' {
			return false
		}
	}
	return true
}

// Filter selects topics. ParseFilter creates a Filter from a string. The zero Filter selects nothing.
type Filter struct {
	text string
	wild bool
}

// Everything is the filter ">".
var Everything = Filter{text: anyTail, wild: true}

// ParseFilter parses a topic filter. Like a topic, a filter consists of tokens. The token "*" matches exactly
// one token, and ">" as the last token matches one or more. The error is an *InvalidError for the parameter
// "topic".
func ParseFilter(s string) (Filter, error) {
	if err := checkTokens(s, true); err != nil {
		return Filter{}, err
	}
	wild := s == anyTail || strings.HasSuffix(s, "."+anyTail)
	for token := range strings.SplitSeq(s, ".") {
		wild = wild || token == anyToken
	}
	return Filter{text: s, wild: wild}, nil
}

// String returns the string from which the filter was parsed.
func (f Filter) String() string { return f.text }

// Exact reports whether the filter has no wildcard. It then selects only the topic of the same name.
func (f Filter) Exact() bool { return !f.wild && f.text != "" }

// Match reports whether the filter selects the topic. A filter whose first token is a wildcard does not select
// the hub's own topics, which begin with "$".
func (f Filter) Match(topic string) bool {
	if !f.wild {
		return f.text != "" && f.text == topic
	}
	return covers(f.text, topic)
}

// Cover reports whether f selects every topic that other selects.
func (f Filter) Cover(other Filter) bool {
	if !f.wild || other.text == "" {
		return f.text != "" && f.text == other.text
	}
	return covers(f.text, other.text)
}

// covers reports whether filter selects every topic that other selects. The parameter other is a topic or a
// filter. If it contains "*", only "*" or ">" in filter covers that token. If it contains ">", only ">" does.
func covers(filter, other string) bool {
	if strings.HasPrefix(other, "$") && (filter[0] == '*' || filter[0] == '>') {
		return false
	}
	for {
		want, filterRest, filterMore := cutToken(filter)
		if want == anyTail && !filterMore {
			return true
		}
		got, otherRest, otherMore := cutToken(other)
		switch {
		case got == anyTail && !otherMore:
			return false
		case want != anyToken && want != got:
			return false
		case !filterMore || !otherMore:
			return filterMore == otherMore
		}
		filter, other = filterRest, otherRest
	}
}
