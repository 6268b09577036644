package reload

import (
	"flag"
	"testing"

	"github.com/trivium-hub/trivium/hub/testkit"
)

func TestMain(m *testing.M) {
	const parallel = "8" // number of parallel tests unless -parallel is set; the tests mostly wait
	flag.Parse()
	isSet := false
	flag.Visit(func(f *flag.Flag) { isSet = isSet || f.Name == "test.parallel" })
	if !isSet {
		_ = flag.Set("test.parallel", parallel) // cannot fail: the value is a number
	}
	testkit.Main(m)
}
