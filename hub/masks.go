package hub

import (
	"hash/maphash"
	"math/bits"
	"slices"
	"strings"
)

// blockFilters is the number of filters in a maskBlock, one bit each.
const blockFilters = 64

// maskBlock matches up to 64 filters with a topic at once. A mask has one bit per filter. For each token position there
// is a mask of the filters with "*" at this position. For each token that filters contain at this position, there is a
// mask of these filters. find combines the masks for all tokens of the topic.
//
// A token is identified by a tag of 16 bits, part of its hash. Different tokens may have the same tag, so the filters
// that find returns must be compared with the topic.
type maskBlock struct {
	depth  int    // number of tokens of the longest filter
	rooted uint64 // mask of the filters that begin with a wildcard
	// masks begins with three masks for each position up to depth: of the filters with "*" at the position,
	// of the filters with the final ">" at the position, and of the filters whose last token is at the
	// position. After them, it contains the masks to which slots refers.
	masks []uint64
	// slots contains an entry for each token of the filters, ordered by position and then by tag. The upper half is the
	// tag. The lower half is the number of the filter if only one filter contains the token. Otherwise it is
	// blockFilters plus the number of a mask.
	slots  []uint32
	starts [MaxTopicTokens + 1]uint16 // starts[i] is the index of the first slot for position i, and starts[i+1] is its end
}

// lowest returns the number of the lowest bit that is set.
func lowest(mask uint64) int { return bits.TrailingZeros64(mask) }

// newMaskBlock compiles at most blockFilters filters. It returns scratch for reuse.
func newMaskBlock(filters []Filter, scratch []uint64) (maskBlock, []uint64) {
	var b maskBlock
	for _, f := range filters {
		b.depth = max(b.depth, strings.Count(f.text, ".")+1)
	}
	b.masks = make([]uint64, 3*b.depth)
	named := scratch // position, tag and filter of each token that is not a wildcard
	var t topicTokens
	for i, f := range filters {
		bit := uint64(1) << i
		t.split(f.text)
		for at, token := range t.tokens[:t.n] {
			switch {
			case token == anyToken:
				b.masks[at] |= bit
			case token == anyTail && at == t.n-1:
				b.masks[b.depth+at] |= bit
				continue
			default:
				named = append(named, uint64(at)<<32|uint64(t.tag(at))<<16|uint64(i))
			}
			if at == t.n-1 {
				b.masks[2*b.depth+at] |= bit
			}
		}
		if t.tokens[0] == anyToken || t.tokens[0] == anyTail {
			b.rooted |= bit
		}
	}
	slices.Sort(named)
	b.index(named)
	return b, named
}

// index fills slots and the masks to which they refer.
func (b *maskBlock) index(named []uint64) {
	slots, shared := 0, 0
	runs(named, func(_ int, run []uint64) {
		slots++
		if len(run) > 1 {
			shared++
		}
	})
	b.slots = make([]uint32, 0, slots)
	b.masks = append(make([]uint64, 0, len(b.masks)+shared), b.masks...)
	runs(named, func(at int, run []uint64) {
		value := uint32(run[0]) // tag and filter
		if len(run) > 1 {
			mask := uint64(0)
			for _, n := range run {
				mask |= 1 << (n & 0xffff)
			}
			value = value&^0xffff | uint32(blockFilters+len(b.masks)-3*b.depth)
			b.masks = append(b.masks, mask)
		}
		b.slots = append(b.slots, value)
		b.starts[at+1]++
	})
	for at := range MaxTopicTokens {
		b.starts[at+1] += b.starts[at]
	}
}

// runs calls f for each run of consecutive elements with the same position and tag. The parameter at is their
// position.
func runs(named []uint64, f func(at int, run []uint64)) {
	for len(named) > 0 {
		n := 1
		for n < len(named) && named[n]>>16 == named[0]>>16 {
			n++
		}
		f(int(named[0]>>32), named[:n])
		named = named[n:]
	}
}

// find returns the mask of the filters that may select the topic. It contains all filters that do, and possibly
// others.
func (b *maskBlock) find(t *topicTokens) (found uint64) {
	alive := ^uint64(0)
	if t.reserved {
		alive = ^b.rooted
	}
	for at := range t.n {
		if at == b.depth {
			return found
		}
		found |= alive & b.masks[b.depth+at]
		alive &= b.masks[at] | b.filtersWithTag(at, t.tag(at))
		if alive == 0 {
			return found
		}
	}
	return found | alive&b.masks[2*b.depth+t.n-1]
}

// filtersWithTag returns the mask of the filters that contain a token with the given tag at the given position.
func (b *maskBlock) filtersWithTag(at int, tag uint16) uint64 {
	slots := b.slots[b.starts[at]:b.starts[at+1]]
	if len(slots) == 0 {
		return 0
	}
	want := uint32(tag)
	i := int(want * uint32(len(slots)) >> 16) // first guess, because tags are evenly distributed
	for i > 0 && slots[i-1]>>16 >= want {
		i--
	}
	for i < len(slots) && slots[i]>>16 < want {
		i++
	}
	if i == len(slots) || slots[i]>>16 != want {
		return 0
	}
	value := slots[i] & 0xffff
	if value < blockFilters {
		return 1 << value
	}
	return b.masks[3*b.depth+int(value)-blockFilters]
}

// size returns the memory of the block in bytes.
func (b *maskBlock) size() int {
	return maskBlockSize + 8*cap(b.masks) + 4*cap(b.slots)
}

const maskBlockSize = 104 // bytes of a maskBlock

// topicTokens holds the tokens of a topic or filter, and their hashes.
type topicTokens struct {
	text     string
	n        int // number of tokens; MaxTopicTokens+1: there are more
	hashed   int // number of tokens whose hashes are known
	reserved bool
	tokens   [MaxTopicTokens]string
	hashes   [MaxTopicTokens]uint64
}

// hashSeed is random, so that clients cannot construct tokens with equal hashes.
var hashSeed = maphash.MakeSeed()

// split sets the topic to text, and splits it into tokens.
func (t *topicTokens) split(text string) {
	t.begin(text)
	for rest, more := text, true; more; {
		var token string
		token, rest, more = cutToken(rest)
		if t.n == MaxTopicTokens {
			t.n++
			return
		}
		t.tokens[t.n] = token
		t.n++
	}
}

// begin sets the topic to text. The caller sets the tokens.
func (t *topicTokens) begin(text string) {
	t.text, t.n, t.hashed, t.reserved = text, 0, 0, strings.HasPrefix(text, "$")
}

// hash returns the hash of a token.
func (t *topicTokens) hash(at int) uint64 {
	for ; t.hashed <= at; t.hashed++ {
		t.hashes[t.hashed] = maphash.String(hashSeed, t.tokens[t.hashed])
	}
	return t.hashes[at]
}

func (t *topicTokens) tag(at int) uint16 { return uint16(t.hash(at) >> 48) }
