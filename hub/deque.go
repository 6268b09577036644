package hub

import "sort"

// minRing is the smallest length to which a ring buffer shrinks. A queue that is empty again and again
// therefore does not allocate each time.
const minRing = 4

// deque is a queue in a ring buffer. The length of the buffer is a power of two.
type deque[T any] struct {
	ring  []T
	first int
	count int
}

func (d *deque[T]) len() int { return d.count }

// at returns element i. Element 0 is the oldest.
func (d *deque[T]) at(i int) T { return d.ring[(d.first+i)&(len(d.ring)-1)] }

// set replaces element i.
func (d *deque[T]) set(i int, v T) { d.ring[(d.first+i)&(len(d.ring)-1)] = v }

func (d *deque[T]) push(v T) {
	if d.count == len(d.ring) {
		d.resize(max(1, 2*len(d.ring)))
	}
	d.ring[(d.first+d.count)&(len(d.ring)-1)] = v
	d.count++
}

func (d *deque[T]) pop() T {
	v := d.ring[d.first]
	var zero T
	d.ring[d.first] = zero
	d.first = (d.first + 1) & (len(d.ring) - 1)
	d.count--
	if d.count <= len(d.ring)/4 && len(d.ring) > minRing {
		d.resize(len(d.ring) / 2)
	}
	return v
}

func (d *deque[T]) resize(n int) {
	ring := make([]T, n)
	end := min(d.first+d.count, len(d.ring))
	older := copy(ring, d.ring[d.first:end])
	copy(ring[older:], d.ring[:d.count-older])
	d.ring, d.first = ring, 0
}

// search returns the index of the first element for which after returns true, or the length of the
// deque if there is none. If after returns true for an element, it must return true for all later
// elements.
func (d *deque[T]) search(after func(T) bool) int {
	return sort.Search(d.count, func(i int) bool { return after(d.at(i)) })
}
