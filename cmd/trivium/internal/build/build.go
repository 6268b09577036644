// Package build describes the running program: its version, the revision of its source, and its Go version.
package build

import (
	"cmp"
	"runtime"
	"runtime/debug"
)

// Info holds the information that the Go toolchain has recorded in the program.
type Info struct {
	Version   string // version of the module
	Revision  string // revision of the source; "": unknown
	GoVersion string
}

// String returns the version, revision and Go version in one line.
func (b Info) String() string {
	text := b.Version
	if b.Revision != "" {
		text += ", revision " + b.Revision
	}
	return text + ", " + b.GoVersion
}

// Current returns the information about the running program.
func Current() Info {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Info{Version: "(unknown)", GoVersion: runtime.Version()}
	}
	return Describe(info)
}

// Describe converts information that the Go toolchain has recorded in a program to an Info.
func Describe(info *debug.BuildInfo) Info {
	b := Info{Version: cmp.Or(info.Main.Version, "(devel)"), GoVersion: info.GoVersion}
	settings := make(map[string]string, len(info.Settings))
	for _, setting := range info.Settings {
		settings[setting.Key] = setting.Value
	}
	if b.Revision = settings["vcs.revision"]; b.Revision != "" && settings["vcs.modified"] == "true" {
		b.Revision += " (modified)"
	}
	return b
}
