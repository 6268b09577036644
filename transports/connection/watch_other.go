//go:build !linux

package connection

// poller: only Linux has one.
type poller struct{}

func (*poller) close() {}

// watch is of no connection.
type watch struct{}

func (*Writer) startWatch(Conn, Reader) bool { return false }
func (*Writer) isWatched() bool              { return false }
func (*Writer) rearmWatch()                  {}
func (*Writer) stopWatch()                   {}
