// Package docs contains tests of the documentation. They run its commands, examples, client programs
// and proxy configurations against hubs, and compare its tables and links with the code.
package docs
