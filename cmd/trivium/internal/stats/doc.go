// Package stats defines the types of the statistics that a hub serves at /stats.
package stats
