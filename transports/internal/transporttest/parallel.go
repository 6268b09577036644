package transporttest

import (
	"flag"
	"testing"
)

// SetParallelism makes parallel tests run 16 at a time instead of one per processor, because they
// mostly wait. It does nothing if -parallel is set. TestMain calls it.
func SetParallelism() {
	const atOnce = "16"
	if !flag.Parsed() {
		testing.Init()
		flag.Parse()
	}
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if !said {
		_ = flag.Set("test.parallel", atOnce)
	}
}
