package transporttest

import (
	"flag"
	"testing"
)

// SetParallelism lets 16 parallel tests run at a time instead of one per processor, because the tests
// mostly wait. It does nothing if the flag -parallel is set. TestMain calls it.
func SetParallelism() {
	const limit = "16"
	if !flag.Parsed() {
		testing.Init()
		flag.Parse()
	}
	isSet := false
	flag.Visit(func(f *flag.Flag) { isSet = isSet || f.Name == "test.parallel" })
	if !isSet {
		_ = flag.Set("test.parallel", limit)
	}
}
