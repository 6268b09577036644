package problems

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jsonscan"
)

// AppendJSON appends the problem as a JSON object.
func (p *Problem) AppendJSON(dst []byte) []byte {
	return append(p.AppendMembers(append(dst, '{')), '}')
}

// MarshalJSON implements json.Marshaler. It never fails.
func (p *Problem) MarshalJSON() ([]byte, error) { return p.AppendJSON(nil), nil }

// AppendMembers appends the members of the JSON object without the enclosing braces.
func (p *Problem) AppendMembers(dst []byte) []byte {
	dst = append(dst, `"type":`...)
	dst = jsonscan.AppendString(dst, URN+p.Code)
	dst = append(dst, `,"title":`...)
	dst = jsonscan.AppendString(dst, p.Title)
	dst = append(dst, `,"status":`...)
	dst = strconv.AppendInt(dst, int64(p.Status), 10)
	if p.Detail != "" {
		dst = append(dst, `,"detail":`...)
		dst = jsonscan.AppendString(dst, p.Detail)
	}
	if p.Parameter != "" {
		dst = append(dst, `,"parameter":`...)
		dst = jsonscan.AppendString(dst, p.Parameter)
	}
	if p.Line != nil {
		dst = append(dst, `,"line":`...)
		dst = strconv.AppendInt(dst, int64(*p.Line), 10)
	}
	if p.Accepted != nil {
		dst = append(dst, `,"accepted":`...)
		dst = strconv.AppendInt(dst, int64(*p.Accepted), 10)
	}
	return dst
}

// UnmarshalJSON implements json.Unmarshaler. If the type does not begin with URN, for example because a
// proxy has sent the problem, Code is empty.
func (p *Problem) UnmarshalJSON(b []byte) error {
	var read Problem
	if err := jsonscan.ObjectMembers(b, read.member); err != nil {
		return fmt.Errorf("problem: %w", err)
	}
	*p = read
	return nil
}

func (p *Problem) member(name string, value []byte) (err error) {
	if string(value) == "null" { // some servers write null instead of omitting a member
		return nil
	}
	switch name {
	case "type":
		var kind string
		kind, err = requireString(name, value)
		if code, ours := strings.CutPrefix(kind, URN); ours {
			p.Code = code
		}
	case "title":
		p.Title, err = requireString(name, value)
	case "detail":
		p.Detail, err = requireString(name, value)
	case "parameter":
		p.Parameter, err = requireString(name, value)
	case "status":
		p.Status, err = requireInt(name, value)
	case "line":
		p.Line = new(int)
		*p.Line, err = requireInt(name, value)
	case "accepted":
		p.Accepted = new(int)
		*p.Accepted, err = requireInt(name, value)
	}
	return err
}

func requireString(name string, value []byte) (string, error) {
	s, ok := jsonscan.StringValue(value)
	if !ok {
		return "", &hub.InvalidError{Parameter: name, Detail: "must be a string in valid Unicode"}
	}
	return s, nil
}

func requireInt(name string, value []byte) (int, error) {
	n, err := strconv.Atoi(string(value))
	if err != nil {
		return 0, &hub.InvalidError{Parameter: name, Detail: "must be a whole number"}
	}
	return n, nil
}
