// Command trivium is the hub's program: it serves, publishes from a shell, makes tokens and measures.
//
// This package is the only one that reads flags and environment and the only one that joins the
// rooms together. It owns the process: main starts no goroutine of its own, a command's Run
// returns when all that it started has ended, and main turns what it returned into the exit
// code, in one place.
//
// Settings come from flags, environment and a YAML file through one struct for each command.
// The file is read here and not by a loader of kong's: such a loader stands above the
// environment, knows no line numbers and passes over keys that mean nothing.
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

// console is where a command reads and writes. It is bound for every Run method.
type console struct {
	In       io.Reader
	Out, Err io.Writer
}

// usageError makes the program end with exitUsage. Each line is one thing that is wrong.
type usageError struct{ lines []string }

func (e *usageError) Error() string { return strings.Join(e.lines, "\n") }

// commands is the grammar of the command line.
type commands struct {
	Serve   ServeCmd   `cmd:"" help:"Run the hub until SIGTERM or SIGINT."`
	Pub     PubCmd     `cmd:"" help:"Publish one event, or one for each line of standard input."`
	Sub     SubCmd     `cmd:"" help:"Print events as they come."`
	Token   TokenCmd   `cmd:"" help:"Make a token: add one to a tokens file, or sign a JWT."`
	Bench   BenchCmd   `cmd:"" help:"Measure a hub next to a bare loop of writes."`
	Backup  BackupCmd  `cmd:"" help:"Write the log of a running hub with the embedded engine to a file."`
	Restore RestoreCmd `cmd:"" help:"Make a store of a backup."`
	Erase   EraseCmd   `cmd:"" help:"Remove one event of a running hub for good."`
	Version VersionCmd `cmd:"" help:"Print the version and end."`
}

// ServeCmd runs the hub.
type ServeCmd struct{ ServeConfig }

// Help is what the flags have in common.
func (ServeCmd) Help() string {
	return "Every flag is also an environment variable, --max-topics for one TRIVIUM_MAX_TOPICS, and a key of " +
		"the YAML file, max-topics. The first that is set of flag, environment, file and default counts. What is " +
		"repeatable is a list in YAML, and separated by commas in a variable."
}

// checked is a command that can say what is wrong with its settings once all are known.
type checked interface{ check() []fault }

func main() {
	os.Exit(run(os.Args[1:], &console{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

// run is the program without the process: it gives the exit code.
func run(args []string, con *console) int {
	err := dispatch(args, con)
	if err == nil {
		return exitDone
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintln(con.Err, "trivium: "+harmless(line)) // some of it may be a hub's or a proxy's
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
	if len(args) == 0 {
		parser.Stdout = con.Err
		_, _ = parser.Parse([]string{"--help"}) // that no command was selected is told below
		return &usageError{lines: []string{"a command is missing"}}
	}
	ctx, err := parser.Parse(args)
	switch {
	case helped:
		return nil
	case err != nil:
		return &usageError{lines: []string{err.Error(), `"trivium --help" names the commands, "trivium <command> --help" their flags`}}
	}
	if command, ok := ctx.Selected().Target.Addr().Interface().(checked); ok {
		if lines := sources.complaints(ctx, command.check()); len(lines) > 0 {
			return &usageError{lines: lines}
		}
	}
	if cli.Serve.Check {
		for _, line := range sources.complaints(ctx, cli.Serve.warnings()) {
			fmt.Fprintln(con.Err, "trivium: warning: "+line)
		}
		_, err := fmt.Fprintln(con.Out, "the configuration is good")
		return err
	}
	return ctx.Run()
}

// isTerminal reports whether a stream is a character device, as a terminal is and a file, a pipe
// or a journal's socket is not.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
