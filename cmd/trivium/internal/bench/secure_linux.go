package bench

// secureSide starts a hub, which serves TLS if the measurement requires it.
func (r *runner) secureSide(s spec) (*side, error) {
	var flags []string
	if s.secure != "" {
		flags = r.secure.flags()
	}
	d, err := r.hubSide(s, true, flags...)
	if err != nil {
		return nil, err
	}
	if s.secure != "" {
		d.name, d.tls = "the hub with TLS", r.secure.client(s.secure)
	}
	return d, nil
}

// compareSecure compares a hub with TLS, a hub without TLS, and the floor, which has no TLS. It measures them
// alternately, and returns the results of the two hubs.
func (r *runner) compareSecure(s spec) ([]*Result, error) {
	secure, err := r.secureSide(s)
	if err != nil {
		return nil, err
	}
	defer secure.close()
	without := s
	without.secure = ""
	plain, err := r.secureSide(without)
	if err != nil {
		return nil, err
	}
	defer plain.close()
	floor, err := r.floor(s)
	if err != nil {
		return nil, err
	}
	defer floor.close()
	rounds, err := r.turns(s, secure, plain, floor)
	if err != nil {
		return nil, err
	}
	results := []*Result{compared(without, plain, floor, rounds), compared(s, secure, floor, rounds)}
	ratio := medianOf(rounds[secure], rounds[plain], (*round).perDelivery)
	results[1].PlainRatio = ratio
	results[1].note("the CPU time per delivery is %.2f times that of the hub without TLS", ratio)
	return results, nil
}
