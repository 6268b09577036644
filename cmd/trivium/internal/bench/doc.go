// Package bench measures a hub from outside. It opens subscribers, publishes, and checks that each subscriber
// receives every event once, in order and unchanged. As a baseline it measures the floor: the same work done by
// a bare loop of write(2), or for long-poll by a bare net/http handler. Hub and floor are child processes that
// run alternately in short rounds on one core, while the load runs on another core. The ratio of the two shows
// the cost of the hub in addition to the kernel's work, on any machine. Other programs still distort the ratio,
// because a delayed hub writes several waiting events together. The report marks results where that may have
// happened.
//
// For an engine, it measures the cost in comparison with the memory engine, which then is the baseline.
// Events are published to all subscribers and to a single one, to separate the cost of publishing from that of
// delivery. Publishing alone is compared with JetStream's own client on a stream with the same settings.
//
// The goroutine of Run is the load: it is locked to its thread, starts the children, opens all sockets, and
// reads them with one epoll. Each round also starts one publishing goroutine and waits for it. One goroutine per
// child reads its standard error and ends with it. Each scenario kills its children and waits for them before it
// returns; if the bench itself is killed, the kernel kills them.
//
// The code that decodes and checks (message.go, decode.go, check.go) does no I/O and accepts a stream in pieces
// of any size.
package bench
