// Package settings defines the settings of `trivium serve`: their flags, defaults, checks and
// warnings. It also computes values that depend on several settings and on the system, such as the
// number of connections that the limit on open files allows.
//
// Values of settings are taken from flags, environment variables and a YAML file. Package kong parses the
// flags, and calls Sources for the values in the environment and in the file. Sources records where it found
// each value and which values it could not parse, so that all faults can be reported at once, each with the
// place of the value. Sources does not use a resolver of package kong for the file, because such a resolver
// takes precedence over the environment, does not report line numbers, and ignores unknown keys.
//
// ServeConfig.Faults returns the settings that must be corrected. ServeConfig.Warnings returns settings that are valid but
// usually a mistake. The FileChecker of package server checks the content of files by loading them. The commands of
// package main also use the functions that check single values.
package settings
