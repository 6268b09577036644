package settings

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// EnvPrefix is the prefix of all environment variables that trivium reads.
const EnvPrefix = "TRIVIUM_"

// serviceVariable matches the variables that Kubernetes and Docker set in containers for a service whose name begins
// with trivium.
var serviceVariable = regexp.MustCompile(`^TRIVIUM(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP)(_[A-Z]+)?)?)$`)

// CheckVariables returns one line for each unknown variable in the environment. A variable is unknown if its
// name begins with TRIVIUM_, no command reads it, the parameter others does not contain its name, and
// serviceVariable does not match it.
func CheckVariables(root *kong.Node, environ []string, others ...string) (lines []string) {
	known := slices.Clone(others)
	for _, command := range root.Children {
		for _, flag := range command.Flags {
			if command.Name == "serve" {
				known = append(known, envName(flag))
				if flag.Tag.Negatable != "" {
					known = append(known, negatedName(flag))
				}
			}
			known = append(known, flag.Envs...)
		}
	}
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, EnvPrefix) && !slices.Contains(known, name) && !serviceVariable.MatchString(name) {
			lines = append(lines, fmt.Sprintf("%s: unknown environment variable%s", name, didYouMean(name, known)))
		}
	}
	slices.Sort(lines)
	return lines
}

// negatedName returns the name of the environment variable that turns a flag off.
func negatedName(flag *kong.Flag) string {
	return EnvPrefix + "NO_" + strings.TrimPrefix(envName(flag), EnvPrefix)
}

// didYouMean returns a question that suggests the name most similar to text, or "" if no name is
// similar.
func didYouMean(text string, names []string) string {
	best, distance := "", len(text)/3+1
	for _, name := range names {
		if d := editDistance(text, name); d < distance {
			best, distance = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", best)
}

// editDistance returns the Levenshtein distance of two ASCII strings.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
