//go:build !js

package client_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/transports/client"
)

// over runs the test once for each transport.
func over(t *testing.T, run func(*testing.T, client.Transport)) {
	for _, tr := range transports {
		t.Run(tr.String(), func(t *testing.T) { run(t, tr) })
	}
}

// bubble is like over, with a fake clock (testing/synctest).
func bubble(t *testing.T, run func(*testing.T, client.Transport)) {
	over(t, func(t *testing.T, tr client.Transport) {
		synctest.Test(t, func(t *testing.T) { run(t, tr) })
	})
}

func TestResumeAfterCutLosesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, tr client.Transport) {
		r := newRig(t, rigConfig{Memory: true})
		c := r.client(client.Config{Transport: tr, Topics: []string{"a.>"}})
		read := r.reader(c)
		r.await(c, liveBy(tr))
		for i := range 20 {
			r.publish(10*i, 5, "a.b")
			if i%2 == 0 {
				r.cut()
			}
			r.publish(10*i+5, 5, "a.c")
			read.numbers(10*i, 10)
		}
		require.EqualValues(t, 200, c.Stats().Delivered)
		require.Zero(t, c.Stats().Gaps)
	})
}

func TestSwitchingTransportsLosesNothing(t *testing.T) {
	r := newRig(t, rigConfig{})
	c := r.client(client.Config{})
	read := r.reader(c)
	r.await(c, liveBy(client.WebSocket))
	for i := range 30 {
		r.publish(i*3, 2, "t0", "t1")
		tr := transports[i%3]
		c.Use(tr)
		r.publish(i*3+2, 1, "t0")
		read.numbers(i*3, 3)
		r.await(c, liveBy(tr))
	}
	require.NotZero(t, c.Stats().Switches)
}
