package connection

// Reader reads from a watched connection.
type Reader interface {
	// Readable is called in a goroutine of the registry when c has input or the peer has closed it.
	// It is not called again before Writer.RearmReadable.
	Readable(c TryReader)
}

// TryReader is a connection that can be read without blocking.
type TryReader interface {
	// TryRead reads the available input. If there is none, it returns 0 and a nil error. At the end
	// of the stream the error is io.EOF.
	TryRead(p []byte) (int, error)
}

// NotifyReadable calls r when there is input, so that no goroutine has to block in a read. It
// returns false if the connection cannot be watched or is closed; the caller must then read in a
// goroutine. A Conn may wrap the Conn from NewConn if it has a method Unwrap.
func (w *Writer) NotifyReadable(r Reader) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state != stateClosed && w.startWatch(unwrapConn(w.conn), r)
}

func unwrapConn(c Conn) Conn {
	if wrapper, ok := c.(interface{ Unwrap() Conn }); ok {
		return wrapper.Unwrap()
	}
	return c
}

// RearmReadable enables one more call of the Reader of NotifyReadable. It also sends what the
// connection has written by itself during a read, as TLS does to change its keys.
func (w *Writer) RearmReadable() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state < stateEnded && !w.writing && w.conn.Buffered() {
		w.startDrain()
	}
	if w.state != stateClosed {
		w.rearmWatch()
	}
}
