package main

import (
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// logAcceptEvery bounds how often the log repeats that connections cannot be accepted.
const logAcceptEvery = 10 * time.Second

// acceptor is a listener that reports the errors of Accept, which net/http only retries, and keeps
// file descriptors free for the rest of the process.
type acceptor struct {
	net.Listener
	log  *slog.Logger
	open *openConnections
	// descriptors is the number from which on a new connection's descriptor is one of those that are
	// kept free; 0: unknown, none are. A new descriptor has the lowest number that is free, so its
	// number is the least count of those in use.
	descriptors int

	errors   atomic.Uint64
	errorLog rate.Sometimes
}

func newAcceptor(l net.Listener, open *openConnections, descriptors int, log *slog.Logger) *acceptor {
	return &acceptor{
		Listener: l, open: open, descriptors: descriptors, log: log,
		errorLog: rate.Sometimes{Interval: logAcceptEvery},
	}
}

// Accept implements net.Listener. It closes connections for which there is no descriptor to spare.
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
		if !known || number < a.descriptors-a.descriptors/10 || a.open.makeRoom() || number < a.descriptors {
			return conn, nil
		}
		a.open.refuse()
		conn.Close()
	}
}

// failed counts and logs an error. Most likely no descriptor is left, so one is freed.
func (a *acceptor) failed(err error) {
	a.errors.Add(1)
	a.errorLog.Do(func() {
		a.log.Error("a connection cannot be accepted", "address", a.Addr().String(), "error", err.Error(), "errors", a.errors.Load())
	})
	a.open.makeRoom()
}
