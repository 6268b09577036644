package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// VersionCmd prints the version of the program.
type VersionCmd struct{}

// Run prints the version in one line on standard output.
func (VersionCmd) Run(con *console) error {
	_, err := fmt.Fprintln(con.Out, "trivium", thisBuild())
	return err
}

// build describes the program, as far as the toolchain has recorded it.
type build struct {
	version   string // of the module
	revision  string // of the source; "": unknown
	goVersion string
}

// String returns the version, revision and Go version in one line.
func (b build) String() string {
	text := b.version
	if b.revision != "" {
		text += ", revision " + b.revision
	}
	return text + ", " + b.goVersion
}

// thisBuild returns the description of the running program.
func thisBuild() build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return build{version: "(unknown)", goVersion: runtime.Version()}
	}
	return describeBuild(info)
}

// describeBuild returns the description of a build.
func describeBuild(info *debug.BuildInfo) build {
	b := build{version: cmp.Or(info.Main.Version, "(devel)"), goVersion: info.GoVersion}
	settings := make(map[string]string, len(info.Settings))
	for _, setting := range info.Settings {
		settings[setting.Key] = setting.Value
	}
	if b.revision = settings["vcs.revision"]; b.revision != "" && settings["vcs.modified"] == "true" {
		b.revision += " (modified)"
	}
	return b
}
