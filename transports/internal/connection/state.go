package connection

// state is the state of a Writer.
//
//	state    the Writer writes                  next state and cause
//	created  nothing                            open: Start
//	open     events and control messages        ending: Goaway, EndWith, EndWithProblem, a lost right, the subscriber
//	                                            fell behind retention, no memory for an encoding
//	                                            closed: Close, Abort, a failed write, the peer has closed the connection
//	ending   events up to end.at, then the end  ended: the drain goroutine starts to write the end
//	                                            closed: as from open, and end.closeTimer
//	ended    nothing after the end              closed: the end is written and Conn.End returns true, CloseAfterEnd,
//	                                            Close, Abort, a failed write
//	closed   nothing
//
// Writer.writing is independent of the state. It is set while the drain goroutine owns the connection:
// from startDrain until nothing is left to write or the Writer is closed. While it is set, other
// goroutines queue their messages.
type state uint8

const (
	stateCreated state = iota
	stateOpen
	stateEnding
	stateEnded
	stateClosed
)
