// Command trivium runs the hub, publishes and subscribes from a shell, creates tokens, and runs benchmarks.
//
// Only the packages in this directory read flags and environment variables, and only they connect
// the other packages. The main function starts no goroutine. The Run method of a command returns
// after all goroutines and processes that it started have ended. The main function converts the
// error that Run returns to the exit code.
//
// Each command has a struct with its settings, which are read from flags, environment variables and a YAML file; see
// package settings. Package server assembles a hub. This package has a file for each command.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/terminal"
)

// These are the exit codes (docs/protocol.md#operating-a-hub).
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2 // wrong usage or configuration
)

// console holds a command's standard streams. It is passed to every Run method.
type console struct {
	In       io.Reader
	Out, Err io.Writer
}

// commands is the grammar of the command line.
type commands struct {
	Serve      ServeCmd      `cmd:"" help:"Run the hub until SIGTERM or SIGINT."`
	Pub        PubCmd        `cmd:"" help:"Publish one event, or one for each line of standard input."`
	Sub        SubCmd        `cmd:"" help:"Print events as they arrive."`
	Token      TokenCmd      `cmd:"" help:"Create a token (an entry of a tokens file, or a JWT), or check one."`
	Bench      BenchCmd      `cmd:"" help:"Measure a hub, and as a baseline a bare loop of writes."`
	Backup     BackupCmd     `cmd:"" help:"Write the log of a running hub with the embedded engine to a file."`
	Restore    RestoreCmd    `cmd:"" help:"Create a store from a backup."`
	Erase      EraseCmd      `cmd:"" help:"Remove one event from a running hub permanently."`
	Config     ConfigCmd     `cmd:"" help:"Print a commented configuration file of the hub."`
	Completion CompletionCmd `cmd:"" help:"Print a script that completes commands and flags in bash, zsh or fish."`
	Version    VersionCmd    `cmd:"" help:"Print the version and exit, like trivium --version."`
	Help       HelpCmd       `cmd:"" help:"Show the help of trivium or of a command."`
}

// checker is implemented by commands that validate their settings before Run.
type checker interface{ check() []settings.Fault }

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
		fmt.Fprintln(con.Err, "trivium: "+terminal.Harmless(line)) // parts of the line may be from a hub or a proxy
	}
	var usage *settings.UsageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

func dispatch(args []string, con *console) error {
	var cli commands
	sources := settings.NewSources(os.LookupEnv)
	helped := false
	parser, err := kong.New(&cli, append(sources.Options(),
		kong.Name("trivium"),
		kong.Description("A real-time hub: receives events over UDP, HTTP and WebSocket, and sends them over SSE, WebSocket and long-poll."),
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
		_, _ = parser.Parse([]string{"--help"}) // prints the help; the missing command is reported below
		return &settings.UsageError{Lines: []string{"missing command"}}
	}
	ctx, err := parser.Parse(args)
	switch {
	case helped:
		return nil
	case err != nil:
		return &settings.UsageError{Lines: []string{err.Error(), `"trivium --help" lists the commands, "trivium <command> --help" their flags`}}
	}
	if command, ok := ctx.Selected().Target.Addr().Interface().(checker); ok {
		lines := sources.Complaints(ctx, command.check())
		if ctx.Selected().Name == "serve" {
			lines = append(settings.CheckVariables(parser.Model.Node, os.Environ(), hiddenArgs), lines...)
		}
		if len(lines) > 0 {
			return &settings.UsageError{Lines: lines}
		}
	}
	if cli.Serve.Check {
		for _, line := range sources.Complaints(ctx, cli.Serve.Warnings()) {
			fmt.Fprintln(con.Err, "trivium: warning: "+line)
		}
		_, err := fmt.Fprintln(con.Out, "the configuration is valid")
		return err
	}
	return ctx.Run()
}
