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
//
// A connection with TLS may hold input that it has already received or decrypted, which the poller does not
// detect. Therefore NotifyReadable first calls r itself, in the goroutine of its caller.
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

// earlyReader is a connection that may hold input which was received before the connection is watched.
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

// RearmReadable enables one more call of the Reader of NotifyReadable. It also sends bytes
// that the connection holds because of a read: for example, TLS may change its keys.
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
