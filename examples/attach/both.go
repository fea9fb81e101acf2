package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/hyperactor/hyperactor/authority"
)

// both runs this program once as the station and once as the laptop.
func both() error {
	dir, err := os.MkdirTemp("", "attach-")
	if err != nil {
		return err
	}
	return errors.Join(bothIn(dir), os.RemoveAll(dir))
}

func bothIn(dir string) error {
	if err := issue(dir, "station", "laptop"); err != nil {
		return err
	}
	station := command("station", filepath.Join(dir, "station"))
	stdin, err := station.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := station.StdoutPipe()
	if err != nil {
		return err
	}
	if err := station.Start(); err != nil {
		return err
	}
	var addr, ref string
	if _, err = fmt.Fscan(stdout, &addr, &ref); err == nil {
		laptop := command("laptop", filepath.Join(dir, "laptop"), addr, ref)
		laptop.Stdout = os.Stdout
		err = laptop.Run()
	}
	return errors.Join(err, stdin.Close(), station.Wait())
}

// issue makes what "hyper ca" does, for an hour.
func issue(dir string, hosts ...string) error {
	fleet, err := authority.New("demo", time.Hour)
	if err != nil {
		return err
	}
	for _, name := range hosts {
		h, err := fleet.Host(name, time.Hour)
		if err != nil {
			return err
		}
		if err := h.Save(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Stderr = os.Stderr
	return cmd
}
