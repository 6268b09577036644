package bench

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
)

// The data of an event is a JSON string of fixed length. Its bytes are the same over every transport:
//
//	"SSSSSSSSNNNNNNNNTTTTTTTTTTTTTTTTCCCCCCCCpadding"
//
// The fields are hexadecimal numbers:
//   - S: the stream; 0 is the stream that all subscribers share
//   - N: the number of the event in that stream, from 0
//   - T: the time of publishing, as load.clock returns it, in ns
//   - C: a checksum of all other bytes up to the end of the padding
const (
	stampSize = 4 + 4 + 8
	sumAt     = 1 + 2*stampSize
	padAt     = sumAt + 2*crc32.Size

	// MinSize is the minimum size of an event's data in bytes. MaxSize is small enough for a
	// datagram.
	MinSize = padAt + 1
	MaxSize = 32 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// stamp holds the fields of an event's data, except the checksum.
type stamp struct {
	stream, seq uint32
	sent        int64 // ns
}

// put fills p with the data of an event that contains s.
func (s stamp) put(p []byte) {
	var raw [stampSize]byte
	binary.BigEndian.PutUint32(raw[:], s.stream)
	binary.BigEndian.PutUint32(raw[4:], s.seq)
	binary.BigEndian.PutUint64(raw[8:], uint64(s.sent))
	p[0], p[len(p)-1] = '"', '"'
	hex.Encode(p[1:], raw[:])
	for i := padAt; i < len(p)-1; i++ {
		p[i] = 'a' + byte((uint32(i)+s.seq)%26)
	}
	var sum [crc32.Size]byte
	binary.BigEndian.PutUint32(sum[:], checksum(p))
	hex.Encode(p[sumAt:], sum[:])
}

func checksum(p []byte) uint32 {
	return crc32.Update(crc32.Checksum(p[:sumAt], castagnoli), castagnoli, p[padAt:])
}

// parseStamp decodes the data of an event. ok is false if the data was changed.
func parseStamp(p []byte) (s stamp, ok bool) {
	if len(p) < MinSize {
		return stamp{}, false
	}
	var raw [stampSize + crc32.Size]byte
	if _, err := hex.Decode(raw[:], p[1:padAt]); err != nil || binary.BigEndian.Uint32(raw[stampSize:]) != checksum(p) {
		return stamp{}, false
	}
	return stamp{
		stream: binary.BigEndian.Uint32(raw[:]),
		seq:    binary.BigEndian.Uint32(raw[4:]),
		sent:   int64(binary.BigEndian.Uint64(raw[8:])),
	}, true
}
