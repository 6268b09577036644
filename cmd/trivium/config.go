package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
)

// ConfigCmd prints a configuration file.
type ConfigCmd struct{}

// Help explains the output.
func (ConfigCmd) Help() string {
	return "Prints a file for serve --config. It contains every setting of the hub with its meaning and default, as comments. " +
		"Remove the # before the settings to change: trivium config > trivium.yaml"
}

// Run prints the file on standard output.
func (ConfigCmd) Run(con *console) error {
	var cli struct {
		Serve ServeCmd `cmd:""`
	}
	grammar, err := kong.New(&cli, settings.NewSources(func(string) (string, bool) { return "", false }).Options()...)
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("# Settings of trivium serve --config FILE. Each is also a flag and an environment variable, which override this file.\n")
	for _, flag := range grammar.Model.Children[0].Flags {
		if flag.Name != "help" && flag.Name != "config" && flag.Name != "check" {
			writeSetting(&b, flag)
		}
	}
	_, err = io.WriteString(con.Out, b.String())
	return err
}

// commentWidth is the maximum length of a comment line in the printed file, in characters.
const commentWidth = 100

// writeSetting writes a setting as a comment, with its default or, if it has none, with the
// placeholder of its value.
func writeSetting(b *strings.Builder, flag *kong.Flag) {
	b.WriteString("\n")
	line := "#"
	for word := range strings.FieldsSeq(flag.Help) {
		if len(line)+1+len(word) > commentWidth {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	value := cmp.Or(flag.Default, flag.PlaceHolder)
	switch {
	case flag.IsBool():
		value = cmp.Or(flag.Default, "false")
	case flag.IsSlice():
		value = "[" + value + "]"
	}
	fmt.Fprintf(b, "%s\n#%s: %s\n", line, flag.Name, value)
}
