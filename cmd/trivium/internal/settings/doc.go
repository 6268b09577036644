// Package settings defines the settings of `trivium serve`: their flags, defaults, checks and
// warnings, and values that are derived from them, such as the connection limits that the number of
// open files allows.
//
// Settings come from flags, the environment and a YAML file. Sources makes kong, which parses the flags, look up the
// others, and records where each value was found, so that each fault is reported with its place and all faults at once.
// The file is not read by a resolver of kong: that would take precedence over the environment, report no line numbers,
// and ignore unknown keys.
//
// ServeConfig.Faults returns what must be corrected, and ServeConfig.Warnings what is valid but usually a mistake. The
// content of files is checked by the FileChecker of package server, which loads them. Commands use the checks of single
// values too.
package settings
