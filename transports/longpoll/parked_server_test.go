package longpoll_test

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/longpoll"
)

// ownServer is the server of a program that uses package longpoll as a library.
type ownServer struct {
	*tt.Server
	http *http.Server
}

// startOwn starts an ownServer whose handler is wrapped by the given middleware. If wrap is not nil, it
// wraps the server's listener.
func startOwn(t *testing.T, middleware func(http.Handler) http.Handler, wrap func(net.Listener) net.Listener) *ownServer {
	t.Helper()
	h, err := hub.New(hub.Config{})
	require.NoError(t, err)
	registry := connection.NewRegistry(0, 0)
	handler := tt.Must(longpoll.New(longpoll.Config{Hub: h, Registry: registry, Counters: new(connection.Counters)}))
	s := &tt.Server{Hub: h, Registry: registry, Token: tt.NewToken(&auth.Grant{Subscribe: hub.NewFilterSet(hub.Everything)})}
	server := httptest.NewUnstartedServer(middleware(tt.Authorized(s.Token, handler)))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // some responses are invalid on purpose
	server.Listener = &connection.Listener{Listener: server.Listener, WriteTimeout: tt.Patience, Registry: registry}
	if wrap != nil {
		server.Listener = wrap(server.Listener)
	}
	server.Start()
	s.Addr = server.Listener.Addr().String()
	t.Cleanup(func() {
		registry.Close()
		server.CloseClientConnections()
		server.Close()
		require.NoError(t, h.Close())
	})
	return &ownServer{s, server.Config}
}

// afterPark sends a poll with the given header line. The poll waits on a parked connection until afterPark
// publishes an event. When the poll is answered, afterPark returns the connection.
func (s *ownServer) afterPark(t *testing.T, line string) *rawConn {
	t.Helper()
	c := dialRaw(t, s.Server)
	c.send(strings.Replace(pollFrom(s.Hub.Position().String()), "\r\n\r\n", "\r\n"+line+"\r\n\r\n", 1))
	waitParked(t, s.Server, 1, 1)
	s.Publish(t, tt.JSON("b", "1"))
	c.answer()
	return c
}

type userKey struct{}

// hiding is a ResponseWriter like those of some middlewares: it has no method Hijack, and it changes the
// body, here to upper case.
type hiding struct{ w http.ResponseWriter }

func (h hiding) Header() http.Header         { return h.w.Header() }
func (h hiding) WriteHeader(status int)      { h.w.WriteHeader(status) }
func (h hiding) Write(p []byte) (int, error) { return h.w.Write([]byte(strings.ToUpper(string(p)))) }

// respond returns a middleware that calls the given handler for requests with the header X-Test, and the
// next handler for other requests.
func respond(respond http.HandlerFunc) func(http.Handler) http.Handler {
	return around(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Header.Get("X-Test") != "" {
			next = respond
		}
		next.ServeHTTP(w, r)
	})
}

// around returns a middleware that calls f with the next handler.
func around(f func(http.ResponseWriter, *http.Request, http.Handler)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f(w, r, next) })
	}
}

// Whatever a middleware does, a request on a connection that was parked gets the same response as on a
// new connection.
func TestMiddlewaresOfParkedConnections(t *testing.T) {
	middlewares := map[string]func(http.Handler) http.Handler{
		"adds a value to the context of the first request": around(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			user, _ := r.Context().Value(userKey{}).(string)
			w.Header().Set("X-User", user)
			if user := r.Header.Get("X-First"); user != "" {
				r = r.WithContext(context.WithValue(r.Context(), userKey{}, user))
			}
			next.ServeHTTP(w, r)
		}),
		"changes the address of the first request": around(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			w.Header().Set("X-Address", strings.TrimRight(r.RemoteAddr, "0123456789"))
			if first := r.Header.Get("X-First"); first != "" {
				r.RemoteAddr = first
			}
			next.ServeHTTP(w, r)
		}),
		"hides the connection of later requests": around(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Header.Get("X-Test") != "" {
				w = hiding{w}
			}
			next.ServeHTTP(w, r)
		}),
		"buffers the responses to later requests": around(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			w.Header().Set("X-Outer", "1")
			if r.Header.Get("X-Test") != "" {
				next = http.TimeoutHandler(next, tt.Patience, "")
			}
			next.ServeHTTP(w, r)
		}),
		"writes after the handler": around(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			w.Header().Set("X-Outer", "1")
			next.ServeHTTP(w, r)
			if _, err := io.WriteString(w, "more"); err == nil {
				w.Header().Set("Content-Length", "4") // has no effect, because the header was already sent
			}
		}),
		"closes the connection after later requests": around(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Header.Get("X-Test") != "" {
				w.Header().Set("Connection", "close")
			}
			next.ServeHTTP(w, r)
		}),
		"writes less than it declares": respond(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "abc")
		}),
		"writes more than it declares": respond(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "3")
			for range 3 {
				_, _ = io.WriteString(w, "abc")
			}
		}),
		"writes a body that its status forbids": respond(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "3")
			w.WriteHeader(http.StatusNotModified)
			_, _ = io.WriteString(w, "abc")
		}),
		"does not declare the type": respond(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }),
		"writes nothing":            respond(func(http.ResponseWriter, *http.Request) {}),
		"panics":                    respond(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
		"hijacks the connection": respond(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nX-Own: 1\r\n\r\n")
		}),
	}
	for name, middleware := range middlewares {
		t.Run(name, func(t *testing.T) {
			s := startOwn(t, middleware, nil)
			responses := make([]string, 2)
			for i := range responses {
				c := dialRaw(t, s.Server)
				if i == 1 {
					c = s.afterPark(t, "X-First: one")
				}
				c.send(strings.Replace(pollFrom(s.Hub.Position().String()), "\r\n\r\n", "\r\nX-Test: 1\r\n\r\n", 1))
				responses[i] = c.publishAndRest(s.Server)
				c.Close()
				waitParked(t, s.Server, 0, 0)
			}
			for i := range responses {
				responses[i] = eventDiffers.ReplaceAllString(responses[i], "")
			}
			require.Equal(t, responses[0], responses[1])
		})
	}
}

// eventDiffers matches the parts that may differ between two answers with equal events: cursor, id and
// time, and also the Content-Length, because the fraction of a time may have fewer than nine digits.
var eventDiffers = regexp.MustCompile(`(?i)"(cursor|id|time)":"[^"]*"|Content-Length: 1..`)

// publishAndRest publishes an event as soon as the request of the connection waits for events, unless the
// request is answered without waiting. It returns the result of rawConn.rest.
func (c *rawConn) publishAndRest(s *tt.Server) string {
	c.t.Helper()
	answered := make(chan struct{})
	go func() {
		_, _ = c.r.Peek(1)
		close(answered)
	}()
	for {
		select {
		case <-answered:
			return c.rest()
		case <-time.After(time.Millisecond):
			if s.Hub.Stats().Subscriptions == 1 {
				s.Publish(c.t, tt.JSON("b", "1"))
				<-answered
				return c.rest()
			}
		}
	}
}

// wrappedListener wraps the connections that a listener accepts, as an embedding program may do.
type wrappedListener struct{ net.Listener }

type wrappedConn struct{ net.Conn }

func (l wrappedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return wrappedConn{c}, nil
}

// Connections that an embedding program has wrapped cannot be parked. The hub detects this only after it
// has hijacked the connection of the first poll. Therefore it closes this connection after the answer.
// It does not hijack the connections of later polls.
func TestWrappedConnectionsAreNotParked(t *testing.T) {
	s := startOwn(t, around(func(w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(w, r) }),
		func(l net.Listener) net.Listener { return wrappedListener{l} })
	first := dialRaw(t, s.Server)
	first.send(pollFrom(s.Hub.Position().String()))
	response, _ := first.response() // has no event, because a poll that was hijacked but not parked waits for at most a second
	require.True(t, response.Close)
	c := dialRaw(t, s.Server)
	for range 2 {
		c.send(pollFrom(s.Hub.Position().String()))
		waitParked(t, s.Server, 1, 0)
		s.Publish(t, tt.JSON("a", "1"))
		require.Len(t, c.answer().Events, 1)
	}
}

// When a server is closed or shut down, its waiting polls are answered and its parked connections are closed.
func TestServerShutdownEndsParkedConnections(t *testing.T) {
	for name, end := range map[string]func(*http.Server) error{
		"Shutdown": func(s *http.Server) error { return s.Shutdown(context.Background()) },
		"Close":    (*http.Server).Close,
	} {
		t.Run(name, func(t *testing.T) {
			s := startOwn(t, func(next http.Handler) http.Handler { return next }, nil)
			idles, waits := s.afterPark(t, "X-First: one"), dialRaw(t, s.Server)
			waits.send(pollFrom(s.Hub.Position().String()))
			waitParked(t, s.Server, 1, 2)
			require.NoError(t, end(s.http))
			response, body := waits.response()
			require.Equal(t, http.StatusOK, response.StatusCode, body)
			require.True(t, response.Close)
			for _, c := range []*rawConn{waits, idles} {
				_, err := c.r.ReadByte()
				require.ErrorIs(t, err, io.EOF)
			}
			waitParked(t, s.Server, 0, 0)
		})
	}
}

// The context of a request on a parked connection is canceled when the client closes the connection,
// and at the end of a drain.
func TestContextOfRequestsOnParkedConnections(t *testing.T) {
	for name, end := range map[string]func(*ownServer, *rawConn){
		"client closes":    func(_ *ownServer, c *rawConn) { c.Close() },
		"end of the drain": func(s *ownServer, _ *rawConn) { s.Registry.Drain(context.Background(), 0) },
	} {
		t.Run(name, func(t *testing.T) {
			begun, done := make(chan struct{}), make(chan error, 1)
			s := startOwn(t, respond(func(_ http.ResponseWriter, r *http.Request) {
				ctx, cancel := context.WithTimeout(r.Context(), 2*tt.Patience)
				defer cancel()
				close(begun)
				<-ctx.Done()
				done <- ctx.Err()
			}), nil)
			c := s.afterPark(t, "X-First: one")
			c.send("GET /poll HTTP/1.1\r\nHost: hub.test\r\nX-Test: 1\r\n\r\n")
			<-begun
			end(s, c)
			require.ErrorIs(t, <-done, context.Canceled)
			waitParked(t, s.Server, 0, 0)
		})
	}
}
