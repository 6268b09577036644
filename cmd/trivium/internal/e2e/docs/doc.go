// Package docs contains tests of the documentation: its commands, examples, client programs and
// proxy configurations are run against hubs, and its tables and links are compared with the code.
package docs
