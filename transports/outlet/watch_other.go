//go:build !linux

package outlet

// poller: only Linux has one.
type poller struct{}

func (*poller) close() {}

// watch is of no connection.
type watch struct{}

func (*Outlet) beginWatch(Conn, Reader) bool { return false }
func (*Outlet) isWatched() bool              { return false }
func (*Outlet) watchAgain()                  {}
func (*Outlet) endWatch()                    {}
