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

// acceptor is a listener that counts and logs errors of Accept, because net/http retries Accept without reporting them.
// It also reserves file descriptors for other uses than connections.
type acceptor struct {
	net.Listener
	log  *slog.Logger
	open *openConnections
	// descriptors is the lowest descriptor number that connections may not use; 0: no limit is known. The system
	// gives each new descriptor the lowest free number. Therefore, if a connection gets this number, at least that
	// many descriptors are in use.
	descriptors int
	// pressed is the time, in ns since 1970, at which a new connection most recently got a descriptor number of
	// at least 90 % of the value of descriptors. For some time after that, a low number does not prove that few
	// descriptors are in use, because new connections get the numbers of connections that were closed to make room.
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

// Accept implements net.Listener. If the descriptor of a new connection is reserved, it closes an idle or slow connection
// to make room. If there is no such connection, it closes the new one.
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

// failed counts and logs an error of Accept. It also closes an idle or slow connection, because the usual cause of the
// error is that all descriptors are in use.
func (a *acceptor) failed(err error) {
	a.errors.Add(1)
	a.errorLog.Do(func() {
		a.log.Error("cannot accept a connection", "address", a.Addr().String(), "error", err.Error(), "errors", a.errors.Load())
	})
	a.open.makeRoom()
}
