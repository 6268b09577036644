package main

import (
	"bytes"
	"regexp"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/build"
)

func TestVersion(t *testing.T) {
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "0123abc"}
	modified := debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	tests := []struct {
		name string
		info debug.BuildInfo
		want string
	}{
		{"bare", debug.BuildInfo{GoVersion: "go1.26"}, "(devel), go1.26"},
		{
			"installed",
			debug.BuildInfo{GoVersion: "go1.26", Main: debug.Module{Version: "v1.2.3"}},
			"v1.2.3, go1.26",
		},
		{
			"cloned",
			debug.BuildInfo{GoVersion: "go1.26", Main: debug.Module{Version: "(devel)"}, Settings: []debug.BuildSetting{revision}},
			"(devel), revision 0123abc, go1.26",
		},
		{
			"edited",
			debug.BuildInfo{GoVersion: "go1.26", Settings: []debug.BuildSetting{revision, modified}},
			"(devel), revision 0123abc (modified), go1.26",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, build.Describe(&tt.info).String())
		})
	}

	var out, errs bytes.Buffer
	require.Zero(t, run([]string{"version"}, &console{Out: &out, Err: &errs}))
	require.Regexp(t, regexp.MustCompile(`^trivium \S.*, go1\.\S+\n$`), out.String())
	require.Empty(t, errs.String())
}
