package transporttest

import (
	"flag"
	"testing"
)

// Waiting has a TestMain's parallel tests run so many at once, rather than one for each processor,
// unless -parallel says otherwise: they mostly wait.
func Waiting() {
	const atOnce = "16"
	if !flag.Parsed() {
		testing.Init()
		flag.Parse()
	}
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if !said {
		_ = flag.Set("test.parallel", atOnce) // a number
	}
}
