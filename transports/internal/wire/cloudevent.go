package wire

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/trivium-hub/trivium/hub/jsonscan"
)

// Media types of CloudEvents 1.0 in JSON (HTTP Protocol Binding, sections 3.2 and 3.3).
const (
	TypeCloudEvent      = "application/cloudevents+json"
	TypeCloudEventBatch = "application/cloudevents-batch+json"
)

// cloudEventsVersion is the value of specversion, which is 1.0 for all minor versions of the
// specification.
const cloudEventsVersion = "1.0"

// maxAttributes is the maximum number of members of a CloudEvent. It limits the memory that the parser
// needs.
const maxAttributes = 256

// CloudEvent is an event in the JSON format of CloudEvents 1.0. Besides the JSON text, it contains the
// attributes that the hub uses.
type CloudEvent struct {
	JSON             []byte // the event as received, without surrounding white space; shares memory with the input
	ID, Source, Type string
	Subject          string // optional
	Topic            string // extension attribute; optional
	PartitionKey     string // extension attribute; optional
}

// ParseCloudEvent parses a CloudEvent in structured mode, which is a JSON object with all attributes and
// the data. The error is a *hub.InvalidError that names the invalid attribute, or "body" if b is not a
// JSON object.
func ParseCloudEvent(b []byte) (CloudEvent, error) {
	b = jsonscan.Trim(b)
	if !jsonscan.Valid(b) {
		return CloudEvent{}, badInput("body", jsonFault(b))
	}
	return parseCloudEvent(b)
}

// ParseCloudEvents parses a batch of 1 to maxEvents CloudEvents. It returns all events or an error. The
// error is like that of ParseCloudEvent; its detail contains the index of the invalid event.
func ParseCloudEvents(b []byte, maxEvents int) ([]CloudEvent, error) {
	b = jsonscan.Trim(b)
	if !jsonscan.Valid(b) {
		return nil, badInput("body", jsonFault(b))
	}
	if b[0] != '[' {
		return nil, badInput("body", "a batch must be a JSON array of CloudEvents")
	}
	return parseArray(b, maxEvents, parseCloudEvent, "at most %d events are allowed in a batch", "must have at least one event")
}

// parseCloudEvent parses a CloudEvent. text must be valid JSON.
func parseCloudEvent(text []byte) (CloudEvent, error) {
	e := CloudEvent{JSON: text}
	if text[0] != '{' {
		return e, badInput("body", "a CloudEvent must be a JSON object")
	}
	if err := checkNesting("body", text); err != nil {
		return e, err
	}
	var version string
	known := map[string]*string{
		"specversion": &version, "id": &e.ID, "source": &e.Source, "type": &e.Type, "subject": &e.Subject,
		"topic": &e.Topic, "partitionkey": &e.PartitionKey,
	}
	seen := make(map[string]bool, 8)
	err := jsonscan.Members(text, func(name string, value []byte) error {
		if seen[name] {
			return badInput(name, "must be given only once")
		}
		if seen[name] = true; len(seen) > maxAttributes {
			return badInput("body", fmt.Sprintf("at most %d attributes are allowed", maxAttributes))
		}
		if string(value) == "null" && name != "data" {
			seen[name] = false // JSON Event Format section 2.2: null means absent
			return nil
		}
		if err := checkMember(name, value); err != nil {
			return err
		}
		if to := known[name]; to != nil && jsonscan.IsString(value) {
			*to, _ = jsonscan.DecodeString(value)
		}
		return nil
	})
	switch {
	case err != nil:
		return e, err
	case seen["data"] && seen["data_base64"]:
		return e, badInput("data_base64", "must not be given together with data")
	}
	for _, name := range []string{"specversion", "id", "source", "type"} {
		if *known[name] == "" {
			return e, badInput(name, "missing; every CloudEvent has specversion, id, source and type")
		}
	}
	if version != cloudEventsVersion {
		return e, badInput("specversion", fmt.Sprintf("must be %q, got %q", cloudEventsVersion, version))
	}
	return e, nil
}

// checkMember checks one member of a CloudEvent: the data, or an attribute. The value of an attribute
// must have the type that the specification requires.
func checkMember(name string, value []byte) error {
	switch name {
	case "data":
		return nil
	case "data_base64":
		_, err := decodeBase64(value)
		return err
	case "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema":
		s, err := requireString(name, value)
		if err != nil {
			return err
		}
		return checkAttribute(name, s)
	}
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" || name == "" {
		return badInput(name, "must be an attribute name: lower-case letters and digits only")
	}
	switch {
	case jsonscan.IsString(value):
		s, err := requireString(name, value)
		if err != nil {
			return err
		}
		return checkText(name, s)
	case string(value) == "true" || string(value) == "false":
		return nil
	}
	if n, err := strconv.ParseInt(string(value), 10, 64); err != nil || n < math.MinInt32 || n > math.MaxInt32 {
		return badInput(name, "must be a string, true, false or a whole number of 32 bits; put other JSON into data")
	}
	return nil
}

// checkAttribute checks the value of an attribute that the specification defines. All these attributes
// are strings.
func checkAttribute(name, s string) error {
	if s == "" {
		return badInput(name, "must not be empty")
	}
	switch name {
	case "time":
		if _, err := time.Parse(time.RFC3339Nano, s); err != nil {
			return badInput(name, "must be an RFC 3339 time such as 2006-01-02T15:04:05Z")
		}
	case "source", "dataschema":
		return CheckURIReference(name, s)
	case "datacontenttype":
		if !strings.Contains(mediaTypeOf(s), "/") {
			return badInput(name, "must be a media type such as text/plain")
		}
	}
	return checkText(name, s)
}

// checkText returns an error if s contains control characters, which the type String of CloudEvents
// does not allow (specification, section 3.1.1).
func checkText(name, s string) error {
	if strings.ContainsFunc(s, unicode.IsControl) {
		return badInput(name, "must not contain control characters")
	}
	return nil
}

// CheckURIReference checks the characters, the percent escapes and the scheme of a URI reference
// (RFC 3986). The error is a *hub.InvalidError that names the given parameter.
func CheckURIReference(parameter, s string) error {
	invalid := func(r rune) bool {
		return r == ' ' || unicode.IsControl(r) || strings.ContainsRune("<>\"{}|\\^`", r)
	}
	switch {
	case s == "":
		return badInput(parameter, "must not be empty")
	case !utf8.ValidString(s) || strings.ContainsFunc(s, invalid):
		return badInput(parameter, "must be a URI reference (RFC 3986), without spaces")
	case !validScheme(s):
		return badInput(parameter, "must be a URI reference (RFC 3986): the part before its first colon is not a scheme")
	case !validEscapes(s):
		return badInput(parameter, "must be a URI reference (RFC 3986): a % is not followed by two hexadecimal digits")
	}
	return nil
}

// validScheme reports whether a URI reference has either no scheme or a valid scheme (RFC 3986 sections
// 3.1 and 4.2).
func validScheme(s string) bool {
	n := strings.IndexAny(s, ":/?#")
	if n < 0 || s[n] != ':' {
		return true
	}
	const letters = "abcdefghijklmnopqrstuvwxyz"
	scheme := strings.ToLower(s[:n])
	return scheme != "" && strings.IndexByte(letters, scheme[0]) >= 0 && strings.Trim(scheme, letters+"0123456789+-.") == ""
}

func validEscapes(s string) bool {
	const digits = "0123456789abcdefABCDEF"
	for n := strings.IndexByte(s, '%'); n >= 0; n = strings.IndexByte(s, '%') {
		if len(s) < n+3 || strings.Trim(s[n+1:n+3], digits) != "" {
			return false
		}
		s = s[n+3:]
	}
	return true
}

// AppendBinaryCloudEvent appends the JSON format of a CloudEvent that was received in binary mode: its
// attributes are headers, and body is its data. The attributes must not include data. They are not
// checked; the caller must check the result with ParseCloudEvent. JSON and text are appended as data,
// a body of any other content type as data_base64. The error is a *hub.InvalidError for "body".
func AppendBinaryCloudEvent(dst []byte, attributes map[string]string, contentType string, body []byte) ([]byte, error) {
	dst = append(dst, '{')
	for i, name := range slices.Sorted(maps.Keys(attributes)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(jsonscan.AppendString(dst, name), ':')
		dst = jsonscan.AppendString(dst, attributes[name])
	}
	if contentType != "" {
		dst = append(dst, `,"datacontenttype":`...)
		dst = jsonscan.AppendString(dst, contentType)
	}
	trimmed := jsonscan.Trim(body)
	mediaType := mediaTypeOf(contentType)
	// In the specification, data whose media type ends in +json is JSON. However, the CloudEvents SDK
	// for Go expects such data as base64.
	isJSON, isUTF8 := mediaType == "" || mediaType == "application/json" || mediaType == "text/json", charsetIsUTF8(contentType)
	switch {
	case len(body) == 0:
	case isJSON && isUTF8 && jsonscan.Valid(trimmed):
		dst = append(append(dst, `,"data":`...), trimmed...)
	case isJSON && isUTF8 && contentType != "":
		return nil, badInput("body", jsonFault(trimmed))
	case isTextData(mediaType) && isUTF8 && utf8.Valid(body):
		dst = jsonscan.AppendString(append(dst, `,"data":`...), body)
	default:
		dst = append(dst, `,"data_base64":"`...)
		dst = append(base64.StdEncoding.AppendEncode(dst, body), '"')
	}
	return append(dst, '}'), nil
}

// isTextData reports whether data of the given media type is always text.
func isTextData(mediaType string) bool {
	return strings.HasPrefix(mediaType, "text/") || strings.HasSuffix(mediaType, "/xml") || strings.HasSuffix(mediaType, "+xml")
}

// charsetIsUTF8 reports whether the charset of a content type is UTF-8, ASCII or absent.
func charsetIsUTF8(contentType string) bool {
	_, charset, found := strings.Cut(strings.ToLower(contentType), "charset=")
	charset, _, _ = strings.Cut(charset, ";")
	charset = strings.Trim(charset, "\" \t")
	return !found || charset == "utf-8" || charset == "us-ascii"
}

// looksLikeCloudEvent reports whether a JSON text may be a CloudEvent. It does not parse the text.
func looksLikeCloudEvent(text []byte) bool {
	return len(text) > 0 && text[0] == '{' && bytes.Contains(text, []byte(`"specversion"`))
}
