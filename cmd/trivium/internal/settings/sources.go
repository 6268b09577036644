package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// Fault describes one invalid setting.
type Fault struct {
	Setting string // a flag such as "--http", or the name of a positional argument in the help
	Detail  string // what is expected, and the actual value
}

// Faults returns faults of the flag: one for each line of detail, or none if detail is empty.
func Faults(flag, detail string) []Fault {
	if detail == "" {
		return nil
	}
	var faults []Fault
	for line := range strings.SplitSeq(detail, "\n") {
		faults = append(faults, Fault{Setting: "--" + flag, Detail: line})
	}
	return faults
}

// Sources looks up the values of flags that the command line does not set. It looks in the environment first,
// and then in the configuration file. It records where it found each value, and which values could not be
// parsed. It does not stop at the first fault, so that all faults can be reported at once.
type Sources struct {
	lookupEnv func(string) (string, bool)
	path      string              // path of the configuration file; "": there is none
	file      map[string]fileItem // values in the file, by key
	broken    []string            // faults of the file that do not concern the value of a setting
	origin    map[string]string   // by setting: the place where its value was found, unless it is the command line
	unread    map[string]string   // by setting: the reason why its value could not be parsed
}

// fileItem is the value of a key in the file: a string, or a list of strings.
type fileItem struct {
	value any
	line  int
}

// NewSources returns Sources without a configuration file. They look up environment variables with lookupEnv.
func NewSources(lookupEnv func(string) (string, bool)) *Sources {
	return &Sources{
		lookupEnv: lookupEnv,
		origin:    map[string]string{},
		unread:    map[string]string{},
	}
}

// Options returns options for kong.New. With them, the parser looks up values in s, and its mappers
// record values that they cannot parse instead of returning an error.
func (s *Sources) Options() []kong.Option {
	number := func(text string, target reflect.Value) error {
		n, err := strconv.Atoi(text)
		if err != nil {
			return errors.New("want a whole number")
		}
		target.SetInt(int64(n))
		return nil
	}
	duration := func(text string, target reflect.Value) error {
		d, err := time.ParseDuration(text)
		if err != nil {
			return errors.New("want a duration such as 500ms, 10s or 2m30s")
		}
		target.SetInt(int64(d))
		return nil
	}
	size := func(text string, target reflect.Value) error {
		return target.Addr().Interface().(*Size).UnmarshalText([]byte(text))
	}
	share := func(text string, target reflect.Value) error {
		return target.Addr().Interface().(*Share).UnmarshalText([]byte(text))
	}
	level := func(text string, target reflect.Value) error {
		if target.Addr().Interface().(*slog.Level).UnmarshalText([]byte(text)) != nil {
			return errors.New("want debug, info, warn or error")
		}
		return nil
	}
	return []kong.Option{
		kong.Bind(s),
		kong.Resolvers(s),
		kong.KindMapper(reflect.Int, s.noting(number)),
		kong.KindMapper(reflect.Bool, switchMapper{s}),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), s.noting(duration)),
		kong.TypeMapper(reflect.TypeFor[Size](), s.noting(size)),
		kong.TypeMapper(reflect.TypeFor[Share](), s.noting(share)),
		kong.TypeMapper(reflect.TypeFor[slog.Level](), s.noting(level)),
	}
}

// noting returns a mapper that parses a value. If parse returns an error, the mapper records it as a fault.
func (s *Sources) noting(parse func(string, reflect.Value) error) kong.MapperFunc {
	return func(ctx *kong.DecodeContext, target reflect.Value) error {
		token := ctx.Scan.Peek()
		text := token.String()
		if !token.IsValue() && !negativeNumber(text) {
			return fmt.Errorf("want a value, got %s", token)
		}
		ctx.Scan.Pop()
		s.note(ctx.Value, text, parse(text, target))
		return nil
	}
}

// negativeNumber reports whether text begins like a negative number. The scanner of package kong takes such a value for a
// flag, but no flag begins with a digit.
func negativeNumber(text string) bool {
	return len(text) > 1 && text[0] == '-' && '0' <= text[1] && text[1] <= '9'
}

// note records err, if it is not nil, as a fault of a flag. If the flag occurs again with a valid value,
// the fault remains, because the first value was a mistake.
func (s *Sources) note(value *kong.Value, text string, err error) {
	if err != nil {
		s.unread[value.ShortSummary()] = fmt.Sprintf("%v, got %q", err, text)
	}
}

// switchMapper parses a boolean flag, whose value is optional.
type switchMapper struct{ sources *Sources }

// IsBool implements kong.BoolMapper.
func (switchMapper) IsBool() bool { return true }

// Decode implements kong.Mapper. It accepts the words for true and false of YAML 1.1 and 1.2.
func (m switchMapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	if ctx.Scan.Peek().Type != kong.FlagValueToken {
		target.SetBool(true)
		return nil
	}
	text := ctx.Scan.Pop().String()
	var err error
	switch strings.ToLower(text) {
	case "true", "yes", "on", "1":
		target.SetBool(true)
	case "false", "no", "off", "0":
		target.SetBool(false)
	default:
		err = errors.New("want true or false")
	}
	m.sources.note(ctx.Value, text, err)
	return nil
}

// BeforeResolve is called by package kong before it calls Resolve. It reads the configuration file that the command line
// or the environment names.
func (c *ServeConfig) BeforeResolve(ctx *kong.Context, s *Sources) error {
	known := map[string]bool{}
	for _, flag := range ctx.Selected().Flags {
		known[flag.Name] = true
		if flag.Tag.Negatable != "" {
			known["no-"+flag.Name] = true
		}
		if flag.Name != "config" {
			continue
		}
		if slices.ContainsFunc(ctx.Path, func(p *kong.Path) bool { return p.Flag == flag }) {
			s.path, _ = ctx.FlagValue(flag).(string)
		} else {
			s.path, _ = s.variable(flag)
		}
	}
	if s.path != "" {
		delete(known, "config")
		delete(known, "check")
		s.readFile(known)
	}
	return nil
}

// envName returns the name of a flag's environment variable.
func envName(flag *kong.Flag) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
}

// Validate implements kong.Resolver. It does nothing, because Complaints reports the faults.
func (s *Sources) Validate(*kong.Application) error { return nil }

// variable returns the value of a flag's environment variable without the line breaks at its end. Secret
// stores and files often add them.
func (s *Sources) variable(flag *kong.Flag) (text string, ok bool) {
	text, ok = s.lookupEnv(envName(flag))
	return strings.TrimRight(text, "\r\n"), ok
}

// Resolve implements kong.Resolver. It returns the value of a flag of the command serve that the command
// line does not set. For other commands it returns nil, because the settings of a hub are not meant for
// a publisher on the same machine. The flags of other commands declare their environment variables
// themselves.
func (s *Sources) Resolve(_ *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	if parent.Command == nil || parent.Command.Name != "serve" {
		return nil, nil
	}
	setting := flag.ShortSummary()
	if text, ok := s.variable(flag); ok {
		s.origin[setting] = envName(flag)
		return text, nil
	}
	if text, ok := s.lookupEnv(negatedName(flag)); ok && flag.Tag.Negatable != "" {
		s.origin[setting] = negatedName(flag)
		return negated(text), nil
	}
	item, ok := s.file[flag.Name]
	if !ok {
		return nil, nil
	}
	s.origin[setting] = fmt.Sprintf("%s:%d", s.path, item.line)
	if _, list := item.value.([]any); list && !flag.IsSlice() {
		s.unread[setting] = "want one value, got a list"
		return nil, nil
	}
	return item.value, nil
}

// negated returns the opposite of a boolean in text form. It returns any other string unchanged; such a
// string is refused later.
func negated(text string) string {
	switch strings.ToLower(text) {
	case "true", "yes", "on", "1":
		return "false"
	case "false", "no", "off", "0":
		return "true"
	}
	return text
}

// readFile reads the YAML file, which must contain one mapping from known keys to scalars or lists of scalars. It does not
// convert scalars to YAML types, so that values such as "off" and "10" are parsed as on the command line.
func (s *Sources) readFile(known map[string]bool) {
	data, err := os.ReadFile(s.path)
	if err != nil {
		s.unread["--config"] = err.Error()
		return
	}
	var document yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return
	case err != nil:
		s.complain(0, strings.TrimPrefix(err.Error(), "yaml: "))
		return
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		s.complain(root.Line, "want one setting per line, such as http: 127.0.0.1:3000")
		return
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		s.complain(0, "want one YAML document, got more")
	}
	s.file = make(map[string]fileItem, len(root.Content)/2)
	for i := 0; i < len(root.Content); i += 2 {
		s.readItem(root.Content[i], root.Content[i+1], known)
	}
}

// readItem adds a key and its value to s.file, or records a fault.
func (s *Sources) readItem(key, value *yaml.Node, known map[string]bool) {
	name, isNegated := key.Value, false
	if positive, ok := strings.CutPrefix(name, "no-"); ok && known[name] && known[positive] {
		name, isNegated = positive, true
	}
	first, again := s.file[name]
	switch {
	case !known[key.Value]:
		names := slices.Sorted(maps.Keys(known))
		s.complain(key.Line, fmt.Sprintf("unknown key %q%s; \"trivium serve --help\" lists all settings", key.Value, didYouMean(key.Value, names)))
		return
	case again:
		s.complain(key.Line, fmt.Sprintf("%s is already set in line %d", name, first.line))
		return
	}
	item := fileItem{line: key.Line}
	elements := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		elements = value.Content
	}
	list := make([]any, len(elements))
	for i, element := range elements {
		if element.Kind == yaml.AliasNode {
			element = element.Alias
		}
		if element.Kind != yaml.ScalarNode || element.Tag == "!!null" {
			s.complain(element.Line, key.Value+": want a value or a list of values")
			return
		}
		list[i] = element.Value
		if isNegated {
			list[i] = negated(element.Value)
		}
	}
	item.value = list
	if value.Kind != yaml.SequenceNode {
		item.value = list[0]
	}
	s.file[name] = item
}

// complain records a fault of the file. If line is 0, the fault concerns the file as a whole.
func (s *Sources) complain(line int, detail string) {
	place := s.path
	if line > 0 {
		place += ":" + strconv.Itoa(line)
	}
	s.broken = append(s.broken, place+": "+detail)
}

// Complaints returns one line for each fault: faults of the file, values that could not be parsed, and the given faults.
// If the value of a setting could not be parsed, the given faults of this setting are left out.
func (s *Sources) Complaints(ctx *kong.Context, faults []Fault) []string {
	lines := slices.Clone(s.broken)
	for _, flag := range ctx.Flags() {
		if detail, ok := s.unread[flag.ShortSummary()]; ok {
			lines = append(lines, s.locate(flag.ShortSummary())+": "+detail)
		}
	}
	for _, f := range faults {
		if f.Detail == tokenIgnored && s.origin[f.Setting] == "TRIVIUM_TOKEN" {
			continue // the variable may be meant for the commands pub and sub
		}
		if _, ok := s.unread[f.Setting]; !ok {
			lines = append(lines, s.locate(f.Setting)+": "+f.Detail)
		}
	}
	return lines
}

// locate returns the name of a setting. If the value was found in the environment or the file, it adds
// this place in parentheses.
func (s *Sources) locate(setting string) string {
	if origin, ok := s.origin[setting]; ok {
		return setting + " (" + origin + ")"
	}
	return setting
}
