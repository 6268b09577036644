// Command trivium runs the hub, publishes and subscribes from a shell, makes tokens, and measures.
//
// This package is the only one that reads flags and environment variables, and the only one that joins the other
// packages. It owns the process: main starts no goroutine, a command's Run returns after everything that it
// started has ended, and main converts the returned error to the exit code.
//
// Settings come from flags, environment and a YAML file through one struct per command. The file is not read by
// a kong resolver: a resolver would take precedence over the environment, report no line numbers, and ignore
// unknown keys.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
)

// Exit codes (docs/protocol.md#operating-a-hub).
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2 // bad usage or configuration
)

// console holds a command's standard streams. It is bound for every Run method.
type console struct {
	In       io.Reader
	Out, Err io.Writer
}

// usageError ends the program with exitUsage. Each line is one error.
type usageError struct{ lines []string }

func (e *usageError) Error() string { return strings.Join(e.lines, "\n") }

// commands is the grammar of the command line.
type commands struct {
	Serve      ServeCmd      `cmd:"" help:"Run the hub until SIGTERM or SIGINT."`
	Pub        PubCmd        `cmd:"" help:"Publish one event, or one for each line of standard input."`
	Sub        SubCmd        `cmd:"" help:"Print events as they arrive."`
	Token      TokenCmd      `cmd:"" help:"Create a token: add one to a tokens file, or sign a JWT. Or check one."`
	Bench      BenchCmd      `cmd:"" help:"Measure a hub, and for comparison a bare loop of writes."`
	Backup     BackupCmd     `cmd:"" help:"Write the log of a running hub with the embedded engine to a file."`
	Restore    RestoreCmd    `cmd:"" help:"Create a store from a backup."`
	Erase      EraseCmd      `cmd:"" help:"Remove one event from a running hub permanently."`
	Config     ConfigCmd     `cmd:"" help:"Print a commented configuration file of the hub."`
	Completion CompletionCmd `cmd:"" help:"Print a script that completes commands and flags in bash, zsh or fish."`
	Version    VersionCmd    `cmd:"" help:"Print the version and exit. So does trivium --version."`
	Help       HelpCmd       `cmd:"" help:"Show help, for a command if one is named."`
}

// HelpCmd shows help.
type HelpCmd struct {
	Command []string `arg:"" optional:"" help:"Command to explain."`
}

// Run shows the help of the command, or of the program.
func (c *HelpCmd) Run(con *console) error { return dispatch(append(c.Command, "--help"), con) }

// ServeCmd runs the hub.
type ServeCmd struct{ ServeConfig }

// Help explains what all flags have in common.
func (ServeCmd) Help() string {
	return "Every flag is also an environment variable (--max-topics is TRIVIUM_MAX_TOPICS) and a key of " +
		"the YAML file (max-topics). Precedence: flag, environment, file, default. Repeatable " +
		"settings are lists in YAML and comma-separated in a variable."
}

// checker is implemented by commands that validate their settings before Run.
type checker interface{ check() []fault }

func main() {
	os.Exit(run(commandLine(), &console{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

// run executes the program and returns its exit code.
func run(args []string, con *console) int {
	err := dispatch(args, con)
	if err == nil {
		return exitDone
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintln(con.Err, "trivium: "+harmless(line)) // parts of it may come from a hub or a proxy
	}
	var usage *usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

func dispatch(args []string, con *console) error {
	var cli commands
	sources := newSources(os.LookupEnv)
	helped := false
	parser, err := kong.New(&cli, append(sources.options(),
		kong.Name("trivium"),
		kong.Description("A real-time hub: events in over UDP and HTTP, out over SSE, WebSocket and long-poll."),
		kong.Writers(con.Out, con.Err),
		kong.Exit(func(int) { helped = true }),
		kong.Bind(con),
	)...)
	if err != nil {
		return err
	}
	if len(args) == 1 && args[0] == "--version" {
		args = []string{"version"}
	}
	if len(args) == 0 {
		parser.Stdout = con.Err
		_, _ = parser.Parse([]string{"--help"}) // the missing command is reported below
		return &usageError{lines: []string{"missing command"}}
	}
	ctx, err := parser.Parse(args)
	switch {
	case helped:
		return nil
	case err != nil:
		return &usageError{lines: []string{err.Error(), `"trivium --help" lists the commands, "trivium <command> --help" their flags`}}
	}
	if command, ok := ctx.Selected().Target.Addr().Interface().(checker); ok {
		lines := sources.complaints(ctx, command.check())
		if ctx.Selected().Name == "serve" {
			lines = append(checkVariables(parser.Model.Node, os.Environ()), lines...)
		}
		if len(lines) > 0 {
			return &usageError{lines: lines}
		}
	}
	if cli.Serve.Check {
		for _, line := range sources.complaints(ctx, cli.Serve.warnings()) {
			fmt.Fprintln(con.Err, "trivium: warning: "+line)
		}
		_, err := fmt.Fprintln(con.Out, "the configuration is valid")
		return err
	}
	return ctx.Run()
}

// isTerminal reports whether a stream is a character device. A terminal is one; a file, a pipe or a journal's
// socket is not.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
