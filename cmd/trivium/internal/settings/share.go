package settings

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Share is a limit. A positive value is a number, 0 means no limit, and a negative value -n means n percent of another
// limit. The text of a percentage is, for example, "50%".
type Share int

var errShare = errors.New("want a whole number such as 1000 or a percentage such as 50%")

// UnmarshalText parses a share.
func (s *Share) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(string(text), "%")
	n, err := strconv.Atoi(number)
	switch {
	case err != nil || percent && n < 0:
		return errShare
	case percent && (n < 1 || n > 100):
		return errors.New("want 1% to 100%")
	case !percent && (n < 0 || n > MaxCount):
		return fmt.Errorf("want %d to %d", 0, MaxCount)
	case percent:
		n = -n
	}
	*s = Share(n)
	return nil
}

// String formats a share as UnmarshalText accepts it.
func (s Share) String() string {
	if s < 0 {
		return fmt.Sprintf("%d%%", -s)
	}
	return strconv.Itoa(int(s))
}

// relative reports whether the limit is a percentage of another limit.
func (s Share) relative() bool { return s < 0 }

// of returns the limit as a number, where 0 means no limit. If the limit is a percentage, the result is
// this percentage of the parameter whole, rounded up.
func (s Share) of(whole int) int {
	if s < 0 {
		return int((int64(whole)*int64(-s) + 99) / 100)
	}
	return int(s)
}
