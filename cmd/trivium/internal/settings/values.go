package settings

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/trivium-hub/trivium/transports"
)

// Between returns a description of the fault if got is less than low or greater than high, and otherwise "".
func Between[T interface{ ~int | ~int64 }](got, low, high T) string {
	if got < low || got > high {
		return fmt.Sprintf("want %v to %v, got %v", low, high, got)
	}
	return ""
}

// OneOf returns a description of the fault if got is none of the names, and otherwise "".
func OneOf(got string, names ...string) string {
	if slices.Contains(names, got) {
		return ""
	}
	return fmt.Sprintf("want %s, got %q", strings.Join(names, " or "), got)
}

// checkURI returns a description of the fault unless s is a valid source of CloudEvents.
func checkURI(s string) string {
	if transports.ValidateCloudEventsSource(s) != nil {
		return fmt.Sprintf("want a URI without spaces, such as https://hub.example.com, got %q", s)
	}
	return ""
}

// CheckAddress returns a description of the fault unless s consists of a host, which may be empty, a colon and a port.
func CheckAddress(s string) string {
	host, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil || host != "" && checkHost(host) != "" {
		return fmt.Sprintf("want host:port with a port of 0 to 65535, such as 127.0.0.1:3000 or [::1]:3000, got %q", s)
	}
	return ""
}

// checkHost returns a description of the fault unless s is an IP address, or a host name that consists
// of letters, digits, "-", "." and "_".
func checkHost(s string) string {
	if _, err := netip.ParseAddr(s); err == nil {
		return ""
	}
	odd := func(r rune) bool {
		return r != '-' && r != '.' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}
	if s == "" || strings.ContainsFunc(s, odd) {
		return fmt.Sprintf("want a host name or address without scheme or port, such as hub.example.org, got %q", s)
	}
	return ""
}

// checkField returns a description of the fault unless s is "" or consists of member names separated by dots.
func checkField(s string) string {
	if s != "" && slices.Contains(strings.Split(s, "."), "") {
		return fmt.Sprintf("want member names separated by single dots, such as meta.topic, got %q", s)
	}
	return ""
}

// ErrorText returns the message of an error, or "" for nil.
func ErrorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
