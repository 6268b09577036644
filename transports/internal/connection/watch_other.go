//go:build !linux

package connection

// poller is empty, because connections are watched only on Linux.
type poller struct{}

func (*poller) close() {}

// watch is empty, because connections are not watched on this system.
type watch struct{}

func (*Writer) startWatch(Conn, Reader) bool { return false }
func (*Writer) isWatched() bool              { return false }
func (*Writer) rearmWatch()                  {}
func (*Writer) stopWatch()                   {}

func (*Registry) startWatch(*Parked, Reader) bool { return false }
func (*Registry) rearmWatch(*Parked)              {}
func (*Registry) stopWatch(*Parked)               {}
func (*Registry) forget(*Parked)                  {}
