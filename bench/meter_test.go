package main

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestMeterWaitsAsLongAsSomethingComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeter()
		go func() {
			for range 10 {
				<-time.After(900 * time.Millisecond)
				m.handle(nil)
			}
		}()
		start := time.Now()
		if got, want := m.await(t.Context(), 10, time.Second), (tally{Handled: 10}); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
		if took := time.Since(start); took != 9*time.Second {
			t.Errorf("it took %v, want 9s: the time of the tenth", took)
		}
	})
}

func TestMeterGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeter()
		m.handle(nil)
		m.size.Store(3)
		m.handle([]byte{1, 2, 3})
		if got, want := m.await(t.Context(), 3, time.Second), (tally{Handled: 2, Damaged: 1}); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
		m.handle(nil)
		if got := m.await(t.Context(), 3, time.Second); got.Handled != 3 {
			t.Errorf("after giving up: got %v, want 3 handled", got)
		}
	})
}
