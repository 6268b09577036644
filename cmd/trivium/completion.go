package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
)

// CompletionCmd prints a script that completes commands and flags in a shell.
type CompletionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help explains how to use the scripts.
func (CompletionCmd) Help() string {
	return "For bash, add to ~/.bashrc: source <(trivium completion bash). " +
		"For zsh, add to ~/.zshrc after compinit: source <(trivium completion zsh). " +
		"For fish: trivium completion fish > ~/.config/fish/completions/trivium.fish"
}

// completed describes a command for a completion script.
type completed struct {
	name, help string
	flags      []completedFlag
}

type completedFlag struct {
	name, help string
	hasValue   bool
}

// completedCommands returns all commands with their flags.
func completedCommands(root *kong.Node) (commands []completed) {
	for _, node := range root.Children {
		c := completed{name: node.Name, help: node.Help, flags: []completedFlag{{name: "help", help: "Show help."}}}
		for _, flag := range node.Flags {
			c.flags = append(c.flags, completedFlag{flag.Name, firstSentence(flag.Help), !flag.IsBool()})
			if flag.Tag.Negatable != "" {
				c.flags = append(c.flags, completedFlag{"no-" + flag.Name, "Not: " + firstSentence(flag.Help), false})
			}
		}
		commands = append(commands, c)
	}
	return commands
}

// firstSentence returns the first sentence of a help text.
func firstSentence(text string) string {
	sentence, _, _ := strings.Cut(text, ". ")
	sentence, _, _ = strings.Cut(sentence, ": ")
	return strings.TrimSuffix(sentence, ".")
}

// Run prints the script on standard output.
func (c *CompletionCmd) Run(con *console) error {
	var cli commands
	grammar, err := kong.New(&cli, settings.NewSources(func(string) (string, bool) { return "", false }).Options()...)
	if err != nil {
		return err
	}
	all := completedCommands(grammar.Model.Node)
	write := map[string]func([]completed) string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}[c.Shell]
	_, err = io.WriteString(con.Out, write(all))
	return err
}

func bashCompletion(all []completed) string {
	return `_trivium() {
  local cur=${COMP_WORDS[COMP_CWORD]} words=
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="` + names(all) + ` --help --version"
  elif [ "${COMP_WORDS[1]}" = help ]; then
    words="` + names(all) + `"
  elif [ "${cur#-}" != "$cur" ]; then
    case ${COMP_WORDS[1]} in
` + cases(all, `words="`, `"`) + `    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _trivium trivium
`
}

func zshCompletion(all []completed) string {
	return `_trivium() {
  if (( CURRENT == 2 )); then
    compadd -- ` + names(all) + ` --help --version
  elif [[ $words[2] == help ]]; then
    compadd -- ` + names(all) + `
  elif [[ $PREFIX == -* ]]; then
    case $words[2] in
` + cases(all, "compadd -- ", "") + `    esac
  else
    _files
  fi
}
compdef _trivium trivium
`
}

func fishCompletion(all []completed) string {
	quote := func(text string) string {
		return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(text) + "'"
	}
	var b strings.Builder
	for _, c := range all {
		fmt.Fprintf(&b, "complete -c trivium -n __fish_use_subcommand -f -a %s -d %s\n", c.name, quote(firstSentence(c.help)))
		fmt.Fprintf(&b, "complete -c trivium -n '__fish_seen_subcommand_from help' -f -a %s\n", c.name)
	}
	for _, c := range all {
		for _, flag := range c.flags {
			value := ""
			if flag.hasValue {
				value = " -r"
			}
			fmt.Fprintf(&b, "complete -c trivium -n '__fish_seen_subcommand_from %s' -l %s%s -d %s\n", c.name, flag.name, value, quote(flag.help))
		}
	}
	return b.String()
}

// names returns the names of the commands, separated by spaces.
func names(all []completed) string {
	var words []string
	for _, c := range all {
		words = append(words, c.name)
	}
	return strings.Join(words, " ")
}

// cases returns the branches of a shell case statement, one per command. Each branch contains the flags of
// the command, preceded by the parameter before and followed by the parameter after.
func cases(all []completed, before, after string) string {
	var b strings.Builder
	for _, c := range all {
		var flags []string
		for _, flag := range c.flags {
			flags = append(flags, "--"+flag.name)
		}
		slices.Sort(flags)
		fmt.Fprintf(&b, "      %s) %s%s%s ;;\n", c.name, before, strings.Join(slices.Compact(flags), " "), after)
	}
	return b.String()
}
