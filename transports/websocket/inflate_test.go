package websocket

import (
	"bytes"
	"compress/flate"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// inflated decompresses a message of one frame.
func inflated(compressed []byte, limit int64) ([]byte, *violation) {
	var dst bytes.Buffer
	v := inflate(&dst, bytes.NewBuffer(compressed), 1, limit, new(record))
	return dst.Bytes(), v
}

// deflated compresses the parts into one message, with a flush after each part.
func deflated(t *testing.T, level int, parts ...[]byte) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	require.NoError(t, err)
	for _, part := range parts {
		_, err = w.Write(part)
		require.NoError(t, err)
		require.NoError(t, w.Flush())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\x00\x00\xff\xff"))
}

// TestInflate decompresses random messages, each compressed with one of the compression levels or, if
// TRIVIUM_LONG=1, with every level.
func TestInflate(t *testing.T) {
	var levels []int
	for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
		levels = append(levels, level)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		text := make([]byte, random.IntN(60<<10))
		alphabet := 1 + random.IntN(256)
		for i := range text {
			text[i] = byte(random.IntN(alphabet))
			if i > 300 && random.IntN(3) == 0 {
				text[i] = text[i-300]
			}
		}
		chosen := []int{levels[i%len(levels)]}
		if os.Getenv("TRIVIUM_LONG") != "" {
			chosen = levels
		}
		for _, level := range chosen {
			got, v := inflated(deflated(t, level, text[:len(text)/3], text[len(text)/3:]), 64<<10)
			require.Nil(t, v)
			require.True(t, bytes.Equal(text, got))
		}
	}
	_, v := inflated(deflated(t, flate.BestSpeed, make([]byte, 100)), 100)
	require.Nil(t, v)
	_, v = inflated(deflated(t, flate.BestSpeed, make([]byte, 101)), 100)
	require.Equal(t, tooBig, v)
}

// A client may flush the compressor often, if there is content between the flushes.
func TestManySmallBlocks(t *testing.T) {
	var parts [][]byte
	for range 200 {
		parts = append(parts, bytes.Repeat([]byte("0123456789abcdef"), 10))
	}
	_, v := inflated(deflated(t, flate.DefaultCompression, parts...), 64<<10)
	require.Nil(t, v)
}

// emptyBlocks returns compressed messages of 64 KiB that consist of blocks without content: stored blocks,
// blocks with the fixed codes, and blocks with dynamic codes.
func emptyBlocks() map[string][]byte {
	const size = 64 << 10
	bitwise := func(block string) []byte { // repeats block, whose bits are in the order of transmission
		b := make([]byte, size)
		for i := range 8 * (size - 8) / len(block) * len(block) {
			b[i/8] |= (block[i%len(block)] - '0') << (i % 8)
		}
		return b
	}
	// The Huffman code for the code lengths consists of the symbols 0 (1 bit), 1 and 18 (2 bits each). The
	// codes of the 256 literals have length 0. The codes of the end symbol and of one distance have length 1.
	dynamic := "001" + "00000" + "00000" + "0111" + // 257 literals, 1 distance, 18 code length codes
		"000" + "000" + "010" + "100" + strings.Repeat("000", 13) + "010" +
		"11" + "1111111" + "11" + "1101011" + "10" + "10" + "0"
	return map[string][]byte{
		"stored":  bytes.Repeat([]byte("\x00\x00\x00\xff\xff"), size/5),
		"fixed":   bitwise("0100000000"),
		"dynamic": bitwise(dynamic),
	}
}

func TestEmptyBlocks(t *testing.T) {
	for name, sent := range emptyBlocks() {
		read, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(sent[:len(sent)/2]))))
		require.Empty(t, read)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%s: compress/flate must accept the blocks", name)
		_, v := inflated(sent, 64<<10)
		require.Equal(t, tooManyBlocks, v, name)
	}
}

func BenchmarkInflate(b *testing.B) {
	text := []byte(strings.Repeat(`{"op":"publish","topic":"orders.eu.paid","data":{"id":12345,"name":"a name"}}`, 800))
	var buffer bytes.Buffer
	w, _ := flate.NewWriter(&buffer, flate.DefaultCompression)
	_, _ = w.Write(text)
	_ = w.Flush()
	inputs := emptyBlocks()
	inputs["text"] = buffer.Bytes()
	for name, sent := range inputs {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, _ = inflated(sent, 64<<10)
			}
		})
		b.Run(name+" by compress/flate", func(b *testing.B) {
			r := flate.NewReader(nil)
			for b.Loop() {
				_ = r.(flate.Resetter).Reset(bytes.NewReader(sent), nil)
				_, _ = io.Copy(io.Discard, r)
			}
		})
	}
}

// If compress/flate accepts the input, inflate decompresses it to the same bytes, unless it exceeds a
// limit. If compress/flate refuses the input, inflate refuses it too.
func FuzzInflate(f *testing.F) {
	f.Add([]byte("\x00"))
	f.Add([]byte("\xf2\x48\xcd\xc9\xc9\x07\x00"))
	for _, sent := range emptyBlocks() {
		f.Add(sent[:100])
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		const limit = 64 << 10
		got, v := inflated(sent, limit)
		want, err := io.ReadAll(io.LimitReader(flate.NewReader(io.MultiReader(bytes.NewReader(sent), strings.NewReader(inflateTail))), limit+1))
		switch {
		case v == tooManyBlocks:
		case len(want) > limit:
			require.Equal(t, tooBig, v)
		case v != nil:
			require.Error(t, err)
		default:
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, got))
		}
	})
}
