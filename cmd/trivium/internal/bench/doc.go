// Package bench measures a hub from outside: it opens subscribers, publishes, and checks that each
// of them gets every event once, in order and unchanged. Beside the hub it measures the floor, which
// is the same work done by a bare loop of write(2), or for long-poll by a bare net/http handler. The
// two are children of the bench, take turns in short rounds, and have one core, while the load stays
// on another. So the ratio of the two says what a hub adds to the kernel's own work, whatever the
// machine. One that is busy with something else spoils it all the same: a hub that finds events
// waiting writes them at once. The report says where that may have been.
//
// Of an engine it measures what that costs next to memory, whose hub then stands in the floor's place:
// with the same connections it publishes for all and for one alone, so that publishing can be told
// from delivering. Publishing itself it holds against that of JetStream's own client, on a stream with
// the same settings.
//
// Run's goroutine is the load: it keeps its thread, starts the children, opens all sockets, and
// reads them by one epoll. Beside it there is one goroutine that publishes, which it starts and waits
// for in each round, and one for the standard error of each child, which ends with that. Every child
// is killed and waited for before the scenario that has started it returns; should the bench be
// killed, the kernel kills them.
//
// What decodes and checks (message.go, decode.go, check.go) does no input or output, and takes a
// stream in whatever pieces it comes.
package bench
