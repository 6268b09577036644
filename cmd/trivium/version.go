package main

import (
	"fmt"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/build"
)

// VersionCmd prints the version of the program.
type VersionCmd struct{}

// Run prints the version in one line on standard output.
func (VersionCmd) Run(con *console) error {
	_, err := fmt.Fprintln(con.Out, "trivium", build.Current())
	return err
}
