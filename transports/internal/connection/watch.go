package connection

// Reader reads from a watched connection.
type Reader interface {
	// Readable is called in a goroutine of the registry when c has input or the peer has closed c.
	// It is not called again before Writer.RearmReadable or Parked.Rearm.
	Readable(c TryReader)
}

// TryReader is a connection that can be read without blocking.
type TryReader interface {
	// TryRead reads the available input. If there is none, it returns 0 and a nil error. At the end
	// of the stream the error is io.EOF.
	TryRead(p []byte) (int, error)
}

// NotifyReadable makes the registry call r when input arrives, so that no goroutine has to block in a
// read. It returns false if the connection cannot be watched or is closed; the caller must then read in
// a goroutine. If the Writer's Conn wraps the Conn from NewConn, it must have a method Unwrap.
//
// The poller does not detect input that a TLS connection has already received or decrypted. Therefore, on
// a TLS connection, NotifyReadable itself calls r once, in the caller's goroutine.
func (w *Writer) NotifyReadable(r Reader) bool {
	c := unwrapConn(w.conn)
	over, isTLS := c.(earlyReader)
	if isTLS {
		over.beginTryReads()
		r.Readable(over)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	watched := w.state != stateClosed && w.startWatch(c, r)
	if isTLS && !watched {
		over.endTryReads()
	}
	return watched
}

// earlyReader is a connection with TLS. It may hold input that it received before it was watched.
type earlyReader interface {
	TryReader
	// beginTryReads makes reads of the net.Conn return instead of blocking, so that TryRead may be called.
	beginTryReads()
	// endTryReads makes these reads block again.
	endTryReads()
}

func unwrapConn(c Conn) Conn {
	if wrapper, ok := c.(interface{ Unwrap() Conn }); ok {
		return wrapper.Unwrap()
	}
	return c
}

// RearmReadable enables the next call of the Reader that was passed to NotifyReadable. It also sends
// bytes that the connection holds because of a read, for example if TLS has answered a change of keys.
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
