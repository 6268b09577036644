package main

import (
	"fmt"
	"runtime/debug"
)

// VersionCmd prints the version of the program.
type VersionCmd struct{}

// Run prints the version in one line on standard output.
func (VersionCmd) Run(con *console) error {
	_, err := fmt.Fprintln(con.Out, "trivium", buildVersion())
	return err
}

// buildVersion returns the module version, source revision and Go version of the program, as far as the toolchain
// has recorded them.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	return describeBuild(info)
}

// describeBuild formats the version, revision and Go version of a build.
func describeBuild(info *debug.BuildInfo) string {
	version := info.Main.Version
	if version == "" {
		version = "(devel)"
	}
	settings := make(map[string]string, len(info.Settings))
	for _, setting := range info.Settings {
		settings[setting.Key] = setting.Value
	}
	if revision := settings["vcs.revision"]; revision != "" {
		version += ", revision " + revision
		if settings["vcs.modified"] == "true" {
			version += " (modified)"
		}
	}
	return version + ", " + info.GoVersion
}
