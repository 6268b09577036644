package websocket

import (
	"bytes"
)

// inflateTail is appended to a compressed message. It contains the four bytes that senders omit (RFC 7692,
// section 7.2.2), and an empty last block, which ends the deflate stream.
const inflateTail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"

// A message may have baseBlocks deflate blocks, blocksPerFrame more for each of its frames, and one more
// for every bytesPerBlock bytes of its decompressed size. The limit depends on the number of frames,
// because a client may flush at the end of each frame.
const (
	baseBlocks     = 64
	blocksPerFrame = 2
	bytesPerBlock  = 64
)

// inflate decompresses one message (RFC 1951) and appends it to dst, which may have at most limit bytes.
// frames is the number of frames of the message. Each message can be decompressed separately, because
// context takeover is never negotiated. The code does not use a library, because no library limits the
// number of blocks: 64 KiB of blocks without content need 17 ms of CPU time, but do not exceed any limit
// on bytes.
func inflate(dst, compressed *bytes.Buffer, frames int, limit int64, to receiver) *violation {
	d := inflater{
		in: compressed.Bytes(), dst: dst, limit: limit, to: to, otherMemory: compressed.Cap(),
		maxBlocks: baseBlocks + blocksPerFrame*frames,
	}
	for last := false; !last; {
		if d.blocksSeen++; d.blocksSeen > d.maxBlocks+dst.Len()/bytesPerBlock {
			return tooManyBlocks
		}
		last = d.readBits(1) == 1
		switch d.readBits(2) {
		case 0:
			d.readStored()
		case 1:
			d.readSymbols(&fixedCodes.literals, &fixedCodes.distances)
		case 2:
			d.readDynamic()
		default:
			d.err = badFrame
		}
		if d.err != nil {
			return d.err
		}
	}
	return nil
}

// inflater decompresses one message. If err is set, the results of its methods are meaningless.
type inflater struct {
	in          []byte
	dst         *bytes.Buffer
	limit       int64
	to          receiver
	otherMemory int // size of the memory that is reserved for the message in addition to dst, in bytes

	pos        int    // index of the next byte in in, followed by inflateTail
	bitBuffer  uint32 // bits that were read from in but not used yet
	bitCount   uint   // number of bits in bitBuffer
	maxBlocks  int    // maximum number of blocks of an empty message
	blocksSeen int
	err        *violation
}

// readBits returns the next n bits of the input. n must be at most 13. The first bit is the least
// significant.
func (d *inflater) readBits(n uint) int {
	for d.bitCount < n {
		var b byte
		switch tail := d.pos - len(d.in); {
		case tail < 0:
			b = d.in[d.pos]
		case tail < len(inflateTail):
			b = inflateTail[tail]
		default:
			d.err = badFrame
		}
		d.pos++
		d.bitBuffer |= uint32(b) << d.bitCount
		d.bitCount += 8
	}
	v := d.bitBuffer & (1<<n - 1)
	d.bitBuffer >>= n
	d.bitCount -= n
	return int(v)
}

// reserve makes room in dst for n more bytes. If a limit does not allow them, it sets err and returns
// false.
func (d *inflater) reserve(n int) bool {
	if int64(d.dst.Len()+n) > d.limit {
		d.err = tooBig
		return false
	}
	if v := grow(d.dst, n, d.otherMemory, d.limit, d.to); v != nil {
		d.err = v
		return false
	}
	return true
}

// write appends one byte to the message.
func (d *inflater) write(b byte) {
	if d.dst.Available() > 0 && int64(d.dst.Len()) < d.limit || d.reserve(1) {
		d.dst.WriteByte(b)
	}
}

// repeat copies bytes of the message to its end. The parameter length is the number of bytes to copy, and
// distance is the offset of the first of them, counted back from the end. The copied bytes may include
// bytes that repeat itself has appended.
func (d *inflater) repeat(length, distance int) {
	if !d.reserve(length) {
		return
	}
	for start := d.dst.Len() - distance; length > 0; {
		n := min(length, d.dst.Len()-start)
		d.dst.Write(d.dst.Bytes()[start : start+n])
		length -= n
	}
}

// readStored decodes an uncompressed block (RFC 1951, section 3.2.4).
func (d *inflater) readStored() {
	d.readBits(d.bitCount % 8)
	length := d.readBits(8) | d.readBits(8)<<8
	if check := d.readBits(8) | d.readBits(8)<<8; check != length^0xffff {
		d.err = badFrame
	}
	for ; length > 0 && d.err == nil; length-- {
		d.write(byte(d.readBits(8)))
	}
}

// Base values and numbers of extra bits of the length symbols, which begin at 257, and of the distance
// symbols (RFC 1951, section 3.2.5).
var (
	lengthBase = [29]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthBits = [29]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}

	distanceBase = [30]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distanceBits = [30]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
)

const endOfBlock = 256

// readSymbols decodes the symbols of a block up to its end.
func (d *inflater) readSymbols(literals, distances *huffmanCode) {
	for d.err == nil {
		symbol := d.readSymbol(literals)
		switch {
		case d.err != nil || symbol == endOfBlock:
			return
		case symbol < endOfBlock:
			d.write(byte(symbol))
			continue
		case symbol-257 >= len(lengthBase):
			d.err = badFrame
			return
		}
		length := int(lengthBase[symbol-257]) + d.readBits(uint(lengthBits[symbol-257]))
		symbol = d.readSymbol(distances)
		if d.err != nil || symbol >= len(distanceBase) {
			d.err = badFrame
			return
		}
		distance := int(distanceBase[symbol]) + d.readBits(uint(distanceBits[symbol]))
		if distance > d.dst.Len() {
			d.err = badFrame
			return
		}
		d.repeat(length, distance)
	}
}

// readDynamic decodes a block that contains its own Huffman codes (RFC 1951, section 3.2.7).
func (d *inflater) readDynamic() {
	order := [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	literals, distances, lengths := d.readBits(5)+257, d.readBits(5)+1, d.readBits(4)+4
	var all [286 + 30]uint8
	if literals > 286 || distances > 30 {
		d.err = badFrame
		return
	}
	for _, symbol := range order[:lengths] {
		all[symbol] = uint8(d.readBits(3))
	}
	var c, other huffmanCode
	if d.err != nil || !c.build(all[:len(order)]) {
		d.err = badFrame
		return
	}
	clear(all[:len(order)])
	for i := 0; i < literals+distances; {
		symbol, value, repeat := d.readSymbol(&c), uint8(0), 1
		switch {
		case d.err != nil:
			return
		case symbol < 16:
			value = uint8(symbol)
		case symbol == 16 && i > 0:
			value, repeat = all[i-1], 3+d.readBits(2)
		case symbol == 17:
			repeat = 3 + d.readBits(3)
		case symbol == 18:
			repeat = 11 + d.readBits(7)
		default:
			repeat = len(all) // invalid: there is no previous length to repeat
		}
		if i+repeat > literals+distances {
			d.err = badFrame
			return
		}
		for ; repeat > 0; repeat-- {
			all[i] = value
			i++
		}
	}
	if !c.build(all[:literals]) || !other.build(all[literals:literals+distances]) {
		d.err = badFrame
		return
	}
	d.readSymbols(&c, &other)
}

const maxCodeBits = 15

// huffmanCode is a Huffman code (RFC 1951, section 3.2.2).
type huffmanCode struct {
	lengths [maxCodeBits + 1]uint16 // number of symbols whose code has this many bits
	symbols [288]uint16             // symbols in the order of their codes
}

// build sets the code. lengths contains the number of bits of each symbol's code. build returns false if
// the lengths do not form a complete code. However, a code with a single symbol may be incomplete.
func (c *huffmanCode) build(lengths []uint8) bool {
	c.lengths = [maxCodeBits + 1]uint16{}
	for _, n := range lengths {
		c.lengths[n]++
	}
	used := len(lengths) - int(c.lengths[0])
	c.lengths[0] = 0
	left := 1
	var offsets [maxCodeBits + 2]uint16
	for n := 1; n <= maxCodeBits; n++ {
		if left = left<<1 - int(c.lengths[n]); left < 0 {
			return false
		}
		offsets[n+1] = offsets[n] + c.lengths[n]
	}
	for symbol, n := range lengths {
		if n > 0 {
			c.symbols[offsets[n]] = uint16(symbol)
			offsets[n]++
		}
	}
	return left == 0 || used == 0 || used == 1 && c.lengths[1] == 1
}

// readSymbol returns the next symbol of the input.
func (d *inflater) readSymbol(c *huffmanCode) int {
	value, first, index := 0, 0, 0
	for n := 1; n <= maxCodeBits; n++ {
		value |= d.readBits(1)
		count := int(c.lengths[n])
		if value-first < count {
			return int(c.symbols[index+value-first])
		}
		index += count
		first = (first + count) << 1
		value <<= 1
	}
	d.err = badFrame
	return 0
}

// fixedCodes contains the fixed Huffman codes of RFC 1951, section 3.2.6.
var fixedCodes = func() (f struct{ literals, distances huffmanCode }) {
	var lengths [288]uint8
	for i := range lengths {
		switch {
		case i < 144, i >= 280:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		default:
			lengths[i] = 7
		}
	}
	f.literals.build(lengths[:])
	for i := range 30 {
		lengths[i] = 5
	}
	f.distances.build(lengths[:30])
	return f
}()
