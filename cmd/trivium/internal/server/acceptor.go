package server

import (
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// logAcceptEvery is the minimum interval between two log lines about connections that cannot be
// accepted.
const logAcceptEvery = 10 * time.Second

// acceptor is a listener that counts and logs the errors of Accept, which net/http retries without reporting them.
// It also keeps file descriptors free for the rest of the process.
type acceptor struct {
	net.Listener
	log  *slog.Logger
	open *openConnections
	// descriptors is the lowest descriptor number that connections may not use; 0: no limit is known. The system
	// gives each new descriptor the lowest free number, so at least that many descriptors are in use.
	descriptors int
	// pressed is the time at which the number of a new descriptor was last near descriptors, in ns since 1970. Connections
	// closed after that free their numbers for the next ones, so low numbers do not mean that few are in use.
	pressed atomic.Int64

	errors   atomic.Uint64
	errorLog rate.Sometimes
}

func newAcceptor(l net.Listener, open *openConnections, descriptors int, log *slog.Logger) *acceptor {
	return &acceptor{
		Listener: l, open: open, descriptors: descriptors, log: log,
		errorLog: rate.Sometimes{Interval: logAcceptEvery},
	}
}

// Accept implements net.Listener. It closes a new connection if its descriptor is in the reserved range and no
// connection that waits for its peer can be closed instead.
func (a *acceptor) Accept() (net.Conn, error) {
	for {
		conn, err := a.Listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				a.failed(err)
			}
			return nil, err
		}
		if a.descriptors == 0 {
			return conn, nil
		}
		number, known := descriptorOf(conn)
		if !known {
			return conn, nil
		}
		if number < a.descriptors-a.descriptors/10 {
			if time.Since(time.Unix(0, a.pressed.Load())) < idleTimeout {
				a.open.closeIdle()
			}
			return conn, nil
		}
		a.pressed.Store(time.Now().UnixNano())
		if a.open.makeRoom() || number < a.descriptors {
			return conn, nil
		}
		a.open.refuse()
		conn.Close()
	}
}

// failed counts and logs an error of Accept. The usual cause is a lack of descriptors, so it closes a connection that
// waits for its peer.
func (a *acceptor) failed(err error) {
	a.errors.Add(1)
	a.errorLog.Do(func() {
		a.log.Error("cannot accept a connection", "address", a.Addr().String(), "error", err.Error(), "errors", a.errors.Load())
	})
	a.open.makeRoom()
}
