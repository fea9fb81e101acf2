package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/hyperactor/hyperactor/host/cmdproc"
	"github.com/hyperactor/hyperactor/host/probe"
	"github.com/hyperactor/hyperactor/host/probe/grpcprobe"
	"github.com/hyperactor/hyperactor/host/probe/httpprobe"
)

// checks is what is to be closed of the probes that it has made.
type checks []func() error

// probe makes the probe that text names; none if text is empty.
func (c *checks) probe(text string, rank int, cfg probe.Config) (p cmdproc.Probe, err error) {
	if text == "" {
		return p, nil
	}
	p.Config = cfg
	if p.Spec, err = probe.Parse(strings.ReplaceAll(text, rankMark, strconv.Itoa(rank))); err != nil {
		return p, err
	}
	switch p.Spec.Kind {
	case probe.KindHTTP:
		p.Check, err = httpprobe.New(httpprobe.Config{URL: p.Spec.Arg})
	case probe.KindGRPC:
		var asks *grpcprobe.Check
		if asks, err = grpcprobe.New(grpcprobe.Config{Addr: p.Spec.Arg}); err == nil {
			p.Check = asks
			*c = append(*c, asks.Close)
		}
	}
	return p, err
}

// close frees what the probes hold.
func (c *checks) close() error {
	var errs []error
	for _, f := range *c {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}
