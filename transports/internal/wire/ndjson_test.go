package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub/jsonscan"
)

type numberedLine struct {
	text   string
	number int
}

// readLines reads lines until Next returns an error. It returns the lines, and the line number and the
// error of the last call.
func readLines(t testing.TB, r io.Reader, maxLine int) (lines []numberedLine, number int, err error) {
	reader := NewLineReader(r, maxLine)
	for {
		line, number, err := reader.Next()
		if err != nil {
			_, again, stays := reader.Next()
			require.Equal(t, err, stays)
			require.Equal(t, number, again)
			return lines, number, err
		}
		lines = append(lines, numberedLine{string(line), number})
	}
}

// LineReader reserves the memory of a long line before it allocates the memory, and releases it when it
// reads the next line.
func TestLineReaderReserves(t *testing.T) {
	long := strings.Repeat(" ", 1<<20)
	var reserved, most int
	full := errors.New("full")
	lines := NewLineReader(strings.NewReader(long+"\na\n"+long+"b\nc\n"+long+long+long), 4<<20)
	lines.Reserve(func(size int) error {
		if size > 2<<20 {
			return full
		}
		reserved, most = size, max(most, size)
		return nil
	})
	for _, want := range []string{"a", "b", "c"} {
		line, _, err := lines.Next()
		require.NoError(t, err)
		require.Equal(t, want, string(line))
		require.Equal(t, want == "b", reserved > 0)
	}
	require.GreaterOrEqual(t, most, 1<<20)
	_, number, err := lines.Next()
	require.ErrorIs(t, err, full)
	require.Equal(t, 5, number)
}

func TestLineReader(t *testing.T) {
	const limit = 5000 // larger than the reader's buffer
	long := strings.Repeat("x", limit)
	broken := errors.New("broken")
	for _, c := range []struct {
		name   string
		in     io.Reader
		lines  []numberedLine
		number int // expected line number at the end
		err    error
	}{
		{name: "nothing", in: strings.NewReader(""), err: io.EOF},
		{name: "lines", in: strings.NewReader("a\nb\n"), lines: []numberedLine{{"a", 1}, {"b", 2}}, number: 2, err: io.EOF},
		{name: "last line without \\n", in: strings.NewReader("a\nb"), lines: []numberedLine{{"a", 1}, {"b", 2}}, number: 2, err: io.EOF},
		{name: "blank lines are counted", in: strings.NewReader("\n \n\r\na \r\n\n\tb\n\n "), lines: []numberedLine{{"a", 4}, {"b", 6}}, number: 8, err: io.EOF},
		{name: "the longest line", in: strings.NewReader(long + "\n" + long), lines: []numberedLine{{long, 1}, {long, 2}}, number: 2, err: io.EOF},
		{name: "too long", in: strings.NewReader("a\n\n" + long + "x\nb\n"), lines: []numberedLine{{"a", 1}}, number: 3},
		{name: "endless line", in: io.MultiReader(strings.NewReader("a\n"), endless{}), lines: []numberedLine{{"a", 1}}, number: 2},
		{name: "too long and blank", in: strings.NewReader(strings.Repeat(" ", limit+1)), number: 1},
		{name: "the reader fails within a line", in: io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)), lines: []numberedLine{{"a", 1}}, number: 2, err: broken},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines, number, err := readLines(t, c.in, limit)
			require.Equal(t, c.lines, lines)
			require.Equal(t, c.number, number)
			if c.err == nil {
				require.True(t, requireRefused(t, "data", err).TooLarge)
				return
			}
			require.ErrorIs(t, err, c.err)
		})
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

// Next returns a line as soon as the line is complete.
func TestLineReaderDoesNotWaitForMore(t *testing.T) {
	r, w := io.Pipe()
	defer func() { require.NoError(t, w.Close()) }()
	lines := NewLineReader(r, 100)
	for _, sent := range []string{"1", "2"} {
		go func() { _, _ = io.WriteString(w, sent+"\n") }()
		line, _, err := lines.Next()
		require.NoError(t, err)
		require.Equal(t, sent, string(line))
	}
}

// Reading 50 lines of the maximum length takes no more allocations than reading one.
func TestLineReaderMemoryIsConstant(t *testing.T) {
	const limit = 64 << 10
	line := append(bytes.Repeat([]byte("x"), limit), '\n')
	allocations := func(n int) float64 {
		stream := bytes.Repeat(line, n)
		return testing.AllocsPerRun(5, func() {
			lines := NewLineReader(bytes.NewReader(stream), limit)
			for range n {
				_, _, _ = lines.Next()
			}
		})
	}
	require.InDelta(t, allocations(1), allocations(50), 2)
}

// LineReader returns the same lines as strings.Split, however many bytes each read returns.
func FuzzLineReader(f *testing.F) {
	for _, s := range []string{"", "a\nb", "\n\n a \r\n", "{\"a\":1}\n{}\n", strings.Repeat("x", 30) + "\n1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 20
		var want []numberedLine
		tooLong := false
		for i, line := range strings.Split(string(b), "\n") {
			if tooLong = len(line) > limit; tooLong {
				break
			}
			if line = string(jsonscan.Trim([]byte(line))); line != "" {
				want = append(want, numberedLine{line, i + 1})
			}
		}
		for _, r := range []io.Reader{bytes.NewReader(b), iotest.OneByteReader(bytes.NewReader(b)), iotest.DataErrReader(bytes.NewReader(b))} {
			lines, _, err := readLines(t, r, limit)
			require.Equal(t, want, lines)
			require.Equal(t, tooLong, !errors.Is(err, io.EOF))
		}
	})
}
