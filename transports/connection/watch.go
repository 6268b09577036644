package connection

// Reader is what reads from a connection that is watched.
type Reader interface {
	// Readable is called in a goroutine of the group when c has something to read, or when nothing
	// more will come; and not again before Outlet.Await.
	Readable(c TryReader)
}

// TryReader is a connection that is read without waiting.
type TryReader interface {
	// TryRead reads what there is; 0 without an error means that there is nothing. The error is of
	// the connection, or io.EOF.
	TryRead(p []byte) (int, error)
}

// Watch has r called when there is something to read, so that no goroutine has to wait for it. It
// reports false where that cannot be, and after the end; then a goroutine has to. A Conn may wrap
// the one that NewConn gave, with a method Unwrap.
func (w *Writer) NotifyReadable(r Reader) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.closed && w.startWatch(unwrapConn(w.conn), r)
}

func unwrapConn(c Conn) Conn {
	if wrapper, ok := c.(interface{ Unwrap() Conn }); ok {
		return wrapper.Unwrap()
	}
	return c
}

// Await has the Reader of Watch called once more.
func (w *Writer) RearmReadable() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.rearmWatch()
	}
}
