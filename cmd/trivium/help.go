package main

// HelpCmd shows help.
type HelpCmd struct {
	Command []string `arg:"" optional:"" help:"Command to show help for."`
}

// Run shows the help of the command, or of the program.
func (c *HelpCmd) Run(con *console) error { return dispatch(append(c.Command, "--help"), con) }
