//go:build !linux

package main

// resident skips the test, because only Linux shows the memory of a process in /proc.
func (p *process) resident() int64 {
	p.t.Helper()
	p.t.Skip("the resident memory of a process is read on Linux only")
	return 0
}
