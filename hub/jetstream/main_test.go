package jetstream

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	const atOnce = "8" // parallel tests, if -parallel does not say: they mostly wait
	flag.Parse()
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if !said {
		_ = flag.Set("test.parallel", atOnce) // a number
	}
	goleak.VerifyTestMain(m)
}
