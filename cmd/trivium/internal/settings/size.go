package settings

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes. Its text form is a whole number followed by a unit, in upper or lower case: no unit or B for
// bytes, KB, MB, GB or TB for powers of 1000, and KiB, MiB, GiB or TiB for powers of 1024.
type Size int64

// sizeUnits begins with the binary units, from the largest to the smallest, because String uses the
// first unit that divides a size. "B" is the last unit, because all other units end with it.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1},
}

var errSize = errors.New("want a size in bytes such as 1048576, 64KB or 1MiB")

// UnmarshalText parses a size. It refuses the units "K" and "M", because they are ambiguous.
func (s *Size) UnmarshalText(text []byte) error {
	number, scale := strings.TrimSpace(string(text)), int64(1)
	for _, unit := range sizeUnits {
		if cut := len(number) - len(unit.name); cut > 0 && strings.EqualFold(number[cut:], unit.name) {
			number, scale = strings.TrimSpace(number[:cut]), unit.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n > math.MaxInt64/scale || n < math.MinInt64/scale {
		return errSize
	}
	*s = Size(n * scale)
	return nil
}

// String returns the size in the largest binary unit that divides it, or in bytes if none does.
func (s Size) String() string {
	for _, unit := range sizeUnits[:4] {
		if s != 0 && int64(s)%unit.bytes == 0 {
			return strconv.FormatInt(int64(s)/unit.bytes, 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}
