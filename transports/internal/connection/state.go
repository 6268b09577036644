package connection

// state is the stage of a Writer's life. Independently of it, Writer.writing is set while the drain goroutine owns the
// connection: from startDrain until nothing is left to write or the Writer is closed. Other callers then queue what they
// would write.
//
//	state    what is written                    next state and cause
//	created  nothing                            open: Start
//	open     events and control messages        ending: Goaway, EndWith, EndWithProblem, lost rights, fell behind
//	                                            retention, no memory for an encoding
//	                                            closed: Close, Abort, a failed write, the peer has closed
//	ending   events up to end.at, then the end  ended: the drain goroutine takes the end to write it
//	                                            closed: as in open, or end.closeTimer
//	ended    nothing after the end              closed: the end is written, and Conn.End or CloseAfterEnd says so;
//	                                            Close, Abort, a failed write
//	closed   nothing
type state uint8

const (
	stateCreated state = iota
	stateOpen
	stateEnding
	stateEnded
	stateClosed
)
