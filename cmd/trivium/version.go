package main

import (
	"fmt"
	"runtime/debug"
)

// VersionCmd prints what was built.
type VersionCmd struct{}

// Run prints one line on standard output.
func (VersionCmd) Run(con *console) error {
	_, err := fmt.Fprintln(con.Out, "trivium", buildVersion())
	return err
}

// buildVersion says which module version, revision of the source and Go toolchain made the
// program, as far as the toolchain has put it in.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	return describeBuild(info)
}

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
