package main

import (
	"encoding/json"
	"os"
	"slices"
	"strings"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
)

// Other users can read the command line of a process, with ps or in /proc, but not its environment.
// Therefore, if the arguments contain a secret, the process replaces itself by another execution of
// its own binary. In the new arguments, *** replaces the secret; an environment variable contains
// the original values of the masked arguments.

// hiddenArgs is the environment variable with the original values of the masked arguments: a JSON object that maps
// the index of an argument to its value.
const hiddenArgs = "TRIVIUM_HIDDEN_ARGS"

// These flags, of any command, can have secret values.
var (
	secretFlags    = []string{"--token"}
	secretURLFlags = []string{"--nats-url", "--jwks-url", "--url", "--admin-url", "--target"}
)

// commandLine returns the program's arguments without its name. If they contain a secret that can be hidden, it does
// not return: it replaces the process. Call it before the process opens files or sockets.
func commandLine() []string {
	args := os.Args[1:]
	hidden, found := os.LookupEnv(hiddenArgs)
	_ = os.Unsetenv(hiddenArgs) // child processes must not inherit it
	if found {
		return restoreArgs(args, hidden)
	}
	if masked := maskArgs(args); !slices.Equal(masked, args) {
		_ = restart(masked, hideArgs(args, masked)) // if this fails, the settings' warnings report the secret
	}
	return args
}

// maskArgs returns the arguments with *** in place of each secret. Arguments that are already
// masked do not change.
func maskArgs(args []string) []string {
	masked := slices.Clone(args)
	for i, arg := range args {
		if name, value, joined := strings.Cut(arg, "="); joined && strings.HasPrefix(arg, "--") {
			masked[i] = name + "=" + maskValue(name, value)
		} else if i > 0 {
			masked[i] = maskValue(args[i-1], arg)
		}
	}
	return masked
}

// maskValue returns the value of a flag with *** in place of each secret.
func maskValue(flag, value string) string {
	switch {
	case slices.Contains(secretFlags, flag) && value != "":
		return "***"
	case slices.Contains(secretURLFlags, flag):
		return settings.WithoutSecrets([]string{value})[0]
	default:
		return value
	}
}

// hideArgs returns the value of hiddenArgs: the original values of the masked arguments.
func hideArgs(args, masked []string) string {
	original := map[int]string{}
	for i := range args {
		if args[i] != masked[i] {
			original[i] = args[i]
		}
	}
	text, _ := json.Marshal(original) // never fails
	return string(text)
}

// restoreArgs returns the original arguments. It ignores a value of hiddenArgs that belongs to
// another command line.
func restoreArgs(masked []string, hidden string) []string {
	var original map[int]string
	if json.Unmarshal([]byte(hidden), &original) != nil {
		return masked
	}
	args := slices.Clone(masked)
	for i, arg := range original {
		if i < 0 || i >= len(args) {
			return masked
		}
		args[i] = arg
	}
	if !slices.Equal(maskArgs(args), masked) {
		return masked
	}
	return args
}
