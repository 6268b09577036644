// Package bench measures the performance of a hub that runs in another process. It opens subscribers, publishes
// events, and checks that each subscriber receives every event once, in order and unchanged. As a baseline it
// measures the floor, a minimal server that does the same work: a loop of write(2), or for long-poll a plain
// net/http handler. Hub and floor are child processes that run alternately, in short rounds, on one core. The
// load, which is the publishers and subscribers, runs on another core. The hub's CPU time divided by the floor's
// shows the cost that the hub adds to the kernel's work; this ratio is comparable between machines. Other
// programs on the machine can distort the ratio, because a hub that is delayed writes several waiting events
// together. The report marks results where that may have happened.
//
// To measure an engine, the baseline is a hub with the memory engine instead of the floor. Events are published
// both to all subscribers and to a single one, to separate the cost of publishing from the cost of delivery.
// Publishing alone is compared with JetStream's own client on a stream with the same settings.
//
// The goroutine that calls Run is locked to its thread. It starts the child processes, opens the sockets of all
// subscribers, and reads them with one epoll. Each round also starts one publishing goroutine and waits for it.
// One goroutine per child reads the child's standard error until it is closed. Each scenario kills its children
// and waits for them before it returns; if the benchmark itself is killed, the kernel kills them.
//
// The code that decodes and checks messages (message.go, decode.go, check.go) does no I/O and accepts a stream in
// pieces of any size.
package bench
