package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/hyperactor/hyperactor/authority"
)

// shown is what "hyper ca show" says of one certificate.
type shown struct {
	File   string    `json:"file"`
	Kind   string    `json:"kind"`
	Fleet  string    `json:"fleet"`
	Name   string    `json:"name"`
	From   time.Time `json:"from"`
	Until  time.Time `json:"until"`
	SHA256 string    `json:"sha256"`
}

// caShow prints what there is to say, and fails for the files of which there is
// nothing, and for certificates that are not valid, or not for long.
func caShow(args []string, stdout io.Writer) error {
	fs := caFlags("show")
	asJSON := fs.Bool("json", false, "")
	var within time.Duration
	fs.Func("within", "", func(s string) (err error) {
		within, err = parseValidity(s)
		return err
	})
	if err := parseCA(fs, args); err != nil {
		return err
	}
	if fs.NArg() == 0 {
		return fmt.Errorf("show takes one FILE or more; %w", errCAUsage)
	}
	all := []shown{}
	var failed error
	for _, name := range fs.Args() {
		infos, err := inspectFile(name)
		failed = errors.Join(failed, err)
		for _, i := range infos {
			s := shown{name, i.Kind, i.Fleet, i.Name, i.From, i.Until, i.SHA256}
			all = append(all, s)
			failed = errors.Join(failed, s.check(time.Now(), within))
		}
	}
	return errors.Join(writeShown(stdout, all, *asJSON), failed)
}

// check returns an error unless s is valid at a time and for some time on.
func (s shown) check(at time.Time, within time.Duration) error {
	what := ""
	switch left := s.Until.Sub(at); {
	case left < 0:
		what = "has expired"
	case at.Before(s.From):
		return fmt.Errorf("%s: %s %s is not valid before %s", s.File, s.Kind, s.Name, date(s.From))
	case left < within:
		what = "expires soon"
	default:
		return nil
	}
	return fmt.Errorf("%s: %s %s %s, on %s", s.File, s.Kind, s.Name, what, date(s.Until))
}

func inspectFile(name string) ([]authority.Info, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	infos, err := authority.Inspect(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return infos, nil
}

func writeShown(w io.Writer, all []shown, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(all)
	}
	for _, s := range all {
		_, err := fmt.Fprintf(w, "%s: %s %s\n  valid from %s until %s%s\n  sha256 %s\n",
			s.File, s.Kind, s.Name, date(s.From), date(s.Until), now(s), s.SHA256)
		if err != nil {
			return err
		}
	}
	return nil
}

// now says what the validity of a certificate means at present.
func now(s shown) string {
	switch left := time.Until(s.Until); {
	case left < 0:
		return ", EXPIRED"
	case time.Now().Before(s.From):
		return ", NOT YET"
	case left < day:
		return fmt.Sprintf(", %v left", left.Round(time.Minute))
	default:
		return fmt.Sprintf(", %d days left", left/day)
	}
}
