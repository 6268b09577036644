package transporttest

import (
	"flag"
	"testing"
)

// SetParallelism makes parallel tests run 16 at a time instead of one per processor, unless
// -parallel is given, since they mostly wait. TestMain calls it.
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
