//go:build !linux

package outlet

// poller: only Linux has one.
type poller struct{}

func (*poller) close() {}

// watch is of no connection.
type watch struct{}

func (*watch) begin(*Outlet, Conn, Reader) bool { return false }
func (*watch) on() bool                         { return false }
func (*watch) again()                           {}
func (*watch) end()                             {}
