// Package hubs contains tests that run the program as a hub. They check what it delivers, how it
// starts and drains, what it logs and counts, how much memory it needs, and that clusters lose no
// event when servers and networks fail.
package hubs
