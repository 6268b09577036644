package board

import "time"

const (
	rateSlot  = 100 * time.Millisecond
	rateSlots = 20
)

// Rate measures events per second over the last two seconds. The current slot is not counted,
// because it is incomplete.
type Rate struct {
	slots [rateSlots + 1]uint64
	now   int64 // number of the newest slot since the clock's zero
}

// Add counts n events at a time, which must not be earlier than that of the previous call.
func (r *Rate) Add(at time.Time, n uint64) {
	r.clearOldSlots(at)
	r.slots[r.now%int64(len(r.slots))] += n
}

// PerSecond returns the rate.
func (r *Rate) PerSecond(at time.Time) float64 {
	r.clearOldSlots(at)
	var sum uint64
	for slot, n := range r.slots {
		if int64(slot) != r.now%int64(len(r.slots)) {
			sum += n
		}
	}
	return float64(sum) / (rateSlot * rateSlots).Seconds()
}

// clearOldSlots makes the slot of the given time the newest slot. It clears the slots after the
// previous newest one, because their data is from before the last two seconds.
func (r *Rate) clearOldSlots(at time.Time) {
	now := at.UnixNano() / int64(rateSlot)
	for s := max(r.now+1, now-rateSlots); s <= now; s++ {
		r.slots[s%int64(len(r.slots))] = 0
	}
	r.now = max(r.now, now)
}
