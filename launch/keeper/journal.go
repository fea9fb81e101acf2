package keeper

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// journal is the file of records. Each is one line, written at once, so that a
// keeper that is killed leaves all of a line or, on a full disk, a torn last
// one. A nil journal keeps nothing.
type journal struct {
	mu   sync.Mutex // guards the following
	file *os.File
	size int64
	ends uint64 // how many there were
}

// Record is one line of a file of records: how a process ended, whoever was
// there to be told.
type Record struct {
	Mark           string // of the process, as in the environment of what descends from it
	PID            int    // in the keeper's PID namespace
	Started, Ended time.Time
	Code           int
	Signal         syscall.Signal
	CoreDumped     bool
}

// maxJournal is how much of what the host has seen is kept.
const maxJournal = 64 << 10

const recordFormat = "1 %s %d %d %d %d %d %t\n" // begins with the version

func (r Record) line() string {
	return fmt.Sprintf(recordFormat, r.Mark, r.PID, r.Started.UnixNano(), r.Ended.UnixNano(), r.Code, int(r.Signal), r.CoreDumped)
}

// parseRecord parses a line with its newline.
func parseRecord(line []byte) (r Record, err error) {
	var started, ended int64
	var sig int
	n, err := fmt.Sscanf(string(line), recordFormat, &r.Mark, &r.PID, &started, &ended, &r.Code, &sig, &r.CoreDumped)
	if err != nil {
		return Record{}, fmt.Errorf("field %d: %w", n+1, err)
	}
	r.Started, r.Ended, r.Signal = time.Unix(0, started), time.Unix(0, ended), syscall.Signal(sig)
	if !bytes.Equal(line, []byte(r.line())) {
		return Record{}, errors.New("not a record")
	}
	return r, nil
}

// ReadRecords returns the records in a file that a keeper has written. A last
// line without an end, which is all that a full disk can leave, is left out.
func ReadRecords(path string) ([]Record, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read records: %w", err)
	}
	return parseRecords(path, b)
}

func parseRecords(path string, b []byte) (all []Record, err error) {
	for n := 1; ; n++ {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			return all, nil
		}
		r, err := parseRecord(b[:end+1])
		if err != nil {
			return all, fmt.Errorf("read records: %s:%d: %w", path, n, err)
		}
		all, b = append(all, r), b[end+1:]
	}
}

// openJournal opens the file of records, or none. A torn last line, which an
// earlier keeper has left, is cut off: the next record must not be part of it.
func openJournal(path string) (*journal, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the file of records: %w", err)
	}
	j := &journal{file: f}
	if err := j.mend(); err != nil {
		return nil, errors.Join(fmt.Errorf("open the file of records: %w", err), f.Close())
	}
	return j, nil
}

// mend cuts off what is not a whole line.
func (j *journal) mend() error {
	info, err := j.file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	b, err := io.ReadAll(io.NewSectionReader(j.file, 0, info.Size()))
	if err != nil {
		return err
	}
	whole := bytes.LastIndexByte(b, '\n') + 1
	j.size = int64(whole)
	if whole == len(b) {
		return nil
	}
	return j.file.Truncate(j.size)
}

// append writes what is known of so many ends, at once. A disk that does not
// take all of it costs records and nothing else.
func (j *journal) append(known []Record, ends int) {
	if j == nil {
		return
	}
	var lines []byte
	for _, r := range known {
		lines = append(lines, r.line()...)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ends += uint64(ends)
	if len(lines) == 0 {
		return
	}
	n, err := j.file.Write(lines)
	if err != nil && n > 0 { // torn: the next record must not be part of it
		n = bytes.LastIndexByte(lines[:n], '\n') + 1
		_ = j.file.Truncate(j.size + int64(n))
	}
	j.size += int64(n)
}

// forget empties the file if it is long and the host has seen the ends of all
// processes that are in it.
func (j *journal) forget(seen uint64) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if seen == j.ends && j.size > maxJournal && j.file.Truncate(0) == nil {
		j.size = 0
	}
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	return j.file.Close()
}
