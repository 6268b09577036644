//go:build race

package hubtest

// raceDetector reports whether the tests are built with the race detector.
const raceDetector = true
