package websocket

import "bytes"

// inflateTail is what a compressed message leaves out (RFC 7692, section 7.2.2), and an empty last
// block, at which reading ends.
const inflateTail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"

// How many blocks a message may have: so many, so many more for each of its frames, since a client may
// flush at the end of each, and one more for so many bytes of the message.
const (
	blocksFree     = 64
	blocksPerFrame = 2
	bytesPerBlock  = 64
)

// inflate undoes the compression of one message (RFC 1951), which came in so many frames, up to limit
// bytes. No message depends on one before it: no context takeover was agreed on. It is no library's,
// since none bounds the blocks: 64 KiB of blocks without content would cost 17 ms, and no limit of
// bytes would be met.
func inflate(dst, compressed *bytes.Buffer, frames int, limit int64, to receiver) *violation {
	d := inflater{
		in: compressed.Bytes(), dst: dst, limit: limit, to: to, held: compressed.Cap(),
		blocks: blocksFree + blocksPerFrame*frames,
	}
	for last := false; !last; {
		if d.seen++; d.seen > d.blocks+dst.Len()/bytesPerBlock {
			return tooManyBlocks
		}
		last = d.bits(1) == 1
		switch d.bits(2) {
		case 0:
			d.stored()
		case 1:
			d.codes(&fixed.literals, &fixed.distances)
		case 2:
			d.dynamic()
		default:
			d.fault = badFrame
		}
		if d.fault != nil {
			return d.fault
		}
	}
	return nil
}

// inflater is one message that is being inflated. After a fault its methods do nothing of use.
type inflater struct {
	in    []byte
	dst   *bytes.Buffer
	limit int64
	to    receiver
	held  int // bytes reserved beside those of dst

	at           int // of in and inflateTail, the next byte
	buffer       uint32
	count        uint // bits in buffer
	blocks, seen int
	fault        *violation
}

// bits returns the next n bits, 13 at most, the first as the lowest.
func (d *inflater) bits(n uint) int {
	for d.count < n {
		var b byte
		switch tail := d.at - len(d.in); {
		case tail < 0:
			b = d.in[d.at]
		case tail < len(inflateTail):
			b = inflateTail[tail]
		default:
			d.fault = badFrame
		}
		d.at++
		d.buffer |= uint32(b) << d.count
		d.count += 8
	}
	v := d.buffer & (1<<n - 1)
	d.buffer >>= n
	d.count -= n
	return int(v)
}

// room makes room for n more bytes of the message, and reports whether they may be.
func (d *inflater) room(n int) bool {
	if int64(d.dst.Len()+n) > d.limit {
		d.fault = tooBig
		return false
	}
	if v := grow(d.dst, n, d.held, d.limit, d.to); v != nil {
		d.fault = v
		return false
	}
	return true
}

// write appends one byte of the message.
func (d *inflater) write(b byte) {
	if d.dst.Available() > 0 && int64(d.dst.Len()) < d.limit || d.room(1) {
		d.dst.WriteByte(b)
	}
}

// repeat appends bytes that stand so far before the end, those that it appends among them.
func (d *inflater) repeat(length, distance int) {
	if !d.room(length) {
		return
	}
	for begin := d.dst.Len() - distance; length > 0; {
		n := min(length, d.dst.Len()-begin)
		d.dst.Write(d.dst.Bytes()[begin : begin+n])
		length -= n
	}
}

// stored reads a block that is not compressed (RFC 1951, section 3.2.4).
func (d *inflater) stored() {
	d.bits(d.count % 8)
	length := d.bits(8) | d.bits(8)<<8
	if check := d.bits(8) | d.bits(8)<<8; check != length^0xffff {
		d.fault = badFrame
	}
	for ; length > 0 && d.fault == nil; length-- {
		d.write(byte(d.bits(8)))
	}
}

// What the symbols of lengths, from 257, and distances stand for (RFC 1951, section 3.2.5).
var (
	lengthBase = [29]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthBits = [29]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}

	distanceBase = [30]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distanceBits = [30]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
)

const endOfBlock = 256

// codes reads a block's symbols.
func (d *inflater) codes(literals, distances *code) {
	for d.fault == nil {
		symbol := d.symbol(literals)
		switch {
		case d.fault != nil || symbol == endOfBlock:
			return
		case symbol < endOfBlock:
			d.write(byte(symbol))
			continue
		case symbol-257 >= len(lengthBase):
			d.fault = badFrame
			return
		}
		length := int(lengthBase[symbol-257]) + d.bits(uint(lengthBits[symbol-257]))
		symbol = d.symbol(distances)
		if d.fault != nil || symbol >= len(distanceBase) {
			d.fault = badFrame
			return
		}
		distance := int(distanceBase[symbol]) + d.bits(uint(distanceBits[symbol]))
		if distance > d.dst.Len() {
			d.fault = badFrame
			return
		}
		d.repeat(length, distance)
	}
}

// dynamic reads a block that brings its codes (RFC 1951, section 3.2.7).
func (d *inflater) dynamic() {
	order := [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	literals, distances, lengths := d.bits(5)+257, d.bits(5)+1, d.bits(4)+4
	var all [286 + 30]uint8
	if literals > 286 || distances > 30 {
		d.fault = badFrame
		return
	}
	for _, symbol := range order[:lengths] {
		all[symbol] = uint8(d.bits(3))
	}
	var c, other code
	if d.fault != nil || !c.set(all[:len(order)]) {
		d.fault = badFrame
		return
	}
	clear(all[:len(order)])
	for i := 0; i < literals+distances; {
		symbol, value, repeat := d.symbol(&c), uint8(0), 1
		switch {
		case d.fault != nil:
			return
		case symbol < 16:
			value = uint8(symbol)
		case symbol == 16 && i > 0:
			value, repeat = all[i-1], 3+d.bits(2)
		case symbol == 17:
			repeat = 3 + d.bits(3)
		case symbol == 18:
			repeat = 11 + d.bits(7)
		default:
			repeat = len(all) // none comes before the first
		}
		if i+repeat > literals+distances {
			d.fault = badFrame
			return
		}
		for ; repeat > 0; repeat-- {
			all[i] = value
			i++
		}
	}
	if !c.set(all[:literals]) || !other.set(all[literals:literals+distances]) {
		d.fault = badFrame
		return
	}
	d.codes(&c, &other)
}

const maxCodeBits = 15

// code is a Huffman code (RFC 1951, section 3.2.2): how many symbols have each length, and the symbols
// in the order of their codes.
type code struct {
	lengths [maxCodeBits + 1]uint16
	symbols [288]uint16
}

// set makes the code of symbols' lengths; false: there is none. A code of one symbol may be incomplete.
func (c *code) set(lengths []uint8) bool {
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

// symbol reads the next symbol of a code.
func (d *inflater) symbol(c *code) int {
	value, first, index := 0, 0, 0
	for n := 1; n <= maxCodeBits; n++ {
		value |= d.bits(1)
		count := int(c.lengths[n])
		if value-first < count {
			return int(c.symbols[index+value-first])
		}
		index += count
		first = (first + count) << 1
		value <<= 1
	}
	d.fault = badFrame
	return 0
}

// fixed are the codes of RFC 1951, section 3.2.6.
var fixed = func() (f struct{ literals, distances code }) {
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
	f.literals.set(lengths[:])
	for i := range 30 {
		lengths[i] = 5
	}
	f.distances.set(lengths[:30])
	return f
}()
