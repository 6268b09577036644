package bench

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The floor is a child process that does the minimum work to deliver events, as the baseline for the
// hub. Its only thread reads a datagram and then calls write(2) on one socket after the other. To keep
// the cost of Go's runtime low, it makes raw system calls, which the scheduler does not notice, and
// disables garbage collection and preemption.
//
// openCommand is the beginning of the datagram that the floor receives before the events of a run.
// The datagram states the transport, the scenario and the number of subscribers. After it, the floor
// accepts the connections of that many subscribers.
const openCommand = "!open "

// floorEnviron disables garbage collection and preemption.
var floorEnviron = []string{"GOGC=off", "GODEBUG=asyncpreemptoff=1"}

// floor is the state of a child process with the role ChildFloor.
type floor struct {
	listener, udp int
	socket        bool // WebSocket frames; otherwise SSE
	topics        bool // each subscriber has its own topic
	fds           []int
	frame         []byte // frame of an event; all events have the same size
	data          int    // offset of the data in frame
	from, size    int    // position and size of the data in a datagram; size 0: not known yet
}

// runFloor is the main function of the child process floor. It runs until it is killed.
func runFloor(stderr io.Writer) error {
	runtime.LockOSThread()
	f := &floor{}
	var err error
	if err = f.listen(stderr); err != nil {
		return err
	}
	datagram := make([]byte, 64<<10)
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(f.udp), uintptr(unsafe.Pointer(&datagram[0])), uintptr(len(datagram)), 0, 0, 0)
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			return errno
		case datagram[0] == openCommand[0]:
			if err := f.open(string(datagram[len(openCommand):n])); err != nil {
				return err
			}
		default:
			if err := f.event(datagram[:n]); err != nil {
				return err
			}
		}
	}
}

func (f *floor) listen(stderr io.Writer) error {
	local := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	var err error
	if f.listener, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err == nil {
		err = errors.Join(unix.Bind(f.listener, local), unix.Listen(f.listener, unix.SOMAXCONN))
	}
	if err != nil {
		return fmt.Errorf("floor: listen: %w", err)
	}
	if f.udp, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err == nil {
		err = unix.Bind(f.udp, local)
	}
	if err != nil {
		return fmt.Errorf("the floor (baseline) cannot listen on UDP: %w", err)
	}
	const room = 4 << 20
	if unix.SetsockoptInt(f.udp, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room) != nil {
		// The kernel may set a smaller size. Events that are lost because of this are reported.
		_ = unix.SetsockoptInt(f.udp, unix.SOL_SOCKET, unix.SO_RCVBUF, room)
	}
	return announce(stderr, portOf(f.listener), portOf(f.udp))
}

func portOf(fd int) string {
	name, err := unix.Getsockname(fd)
	if a, ok := name.(*unix.SockaddrInet4); ok && err == nil {
		return "127.0.0.1:" + strconv.Itoa(a.Port)
	}
	return ""
}

// announce prints the addresses of a child process in the format of the hub's log.
func announce(stderr io.Writer, http, udp string) error {
	return json.NewEncoder(stderr).Encode(address{Message: listening, HTTP: http, UDP: udp})
}

// open accepts the connections of a run.
func (f *floor) open(command string) error {
	var transport, form string
	var n int
	if _, err := fmt.Sscan(command, &transport, &form, &n); err != nil {
		return fmt.Errorf("floor: %q: %w", command, err)
	}
	for _, fd := range f.fds {
		unix.Close(fd)
	}
	f.size = 0
	f.socket, f.topics, f.fds = transport == WebSocket, form == Topics, make([]int, n)
	for i := range n {
		fd, _, err := unix.Accept4(f.listener, unix.SOCK_CLOEXEC)
		if err != nil {
			return fmt.Errorf("floor: accept: %w", err)
		}
		if err := f.handshake(fd, i); err != nil {
			return fmt.Errorf("floor: handshake: %w", err)
		}
	}
	return nil
}

// handshake reads a subscriber's request, answers it, and stores the socket in f.fds. The index is i,
// or depends on the topic if each subscriber has its own topic.
func (f *floor) handshake(fd, i int) error {
	var request []byte
	part := make([]byte, 4096)
	for !bytes.HasSuffix(request, []byte("\r\n\r\n")) {
		n, err := unix.Read(fd, part)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return cmpErr(err, unix.ECONNRESET)
		}
		request = append(request, part[:n]...)
	}
	if f.topics {
		_, after, _ := strings.Cut(string(request), "?topic=bench.")
		stream, err := strconv.ParseUint(after[:min(len(after), 8)], 16, 32)
		if err != nil || stream == 0 || int(stream) > len(f.fds) {
			return fmt.Errorf("bad topic in %q", request)
		}
		i = int(stream) - 1
	}
	f.fds[i] = fd
	answer := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"1c\r\nevent: trivium.open\ndata: \n\n\r\n"
	if f.socket {
		hello := `{"op":"hello","id":"0"}`
		answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" +
			string([]byte{opText, byte(len(hello))}) + hello
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // like the hub
	if _, err := unix.Write(fd, []byte(answer)); err != nil {
		return err
	}
	return unix.SetNonblock(fd, true)
}

// event writes an event to all subscribers. Most of the measured CPU time of the floor is spent here.
func (f *floor) event(datagram []byte) error {
	if f.size == 0 || len(datagram) != f.from+f.size+1 {
		f.buildFrame(datagram)
	}
	data := datagram[f.from : f.from+f.size]
	copy(f.frame[f.data:], data)
	if f.topics {
		var stream [4]byte
		if _, err := hex.Decode(stream[:], data[1:9]); err != nil {
			return err
		}
		at := int(stream[0])<<24 | int(stream[1])<<16 | int(stream[2])<<8 | int(stream[3])
		return f.write(f.fds[at-1])
	}
	for _, fd := range f.fds {
		if err := f.write(fd); err != nil {
			return err
		}
	}
	return nil
}

// write writes f.frame to one socket.
func (f *floor) write(fd int) error {
	for p := f.frame; ; {
		n, _, errno := syscall.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		switch {
		case errno == 0 && int(n) == len(p):
			return nil
		case errno == 0:
			p = p[n:]
		case errno == unix.EAGAIN:
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1); err != nil && err != unix.EINTR {
				return err
			}
		case errno == unix.EPIPE, errno == unix.ECONNRESET:
			return nil // the subscriber has closed the connection
		case errno != unix.EINTR:
			return errno
		}
	}
}

// buildFrame builds the frame that the floor writes for datagrams of this size. The frame contains
// as many bytes around the data as the frame that a hub writes.
func (f *floor) buildFrame(datagram []byte) {
	f.from = bytes.Index(datagram, []byte(`"data":`)) + len(`"data":`)
	f.size = len(datagram) - 1 - f.from
	topic := topicOf(0)
	if f.topics {
		topic = topicOf(1)
	}
	room := strings.Repeat("x", f.size)
	if f.socket {
		body := `{"id":"00000000-00000","topic":"` + topic + `","time":"2026-01-01T00:00:00.000000000Z","data":` + room + `}`
		f.frame = append([]byte{opText, 126, byte(len(body) >> 8), byte(len(body))}, body...)
	} else {
		block := "id: 00000000-00000\ntopic: " + topic + "\ndata: " + room + "\n\n"
		f.frame = fmt.Appendf(nil, "%x\r\n%s\r\n", len(block), block)
	}
	f.data = bytes.Index(f.frame, []byte(room))
}

// openFloor returns the datagram that begins with openCommand and describes a run.
func openFloor(transport, form string, subscribers int) []byte {
	return fmt.Appendf(nil, "%s%s %s %d", openCommand, transport, form, subscribers)
}
